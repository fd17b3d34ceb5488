"""A page, and an end at once on SIGTERM: as process 1 Python would otherwise ignore it."""

import os
import signal
import sys

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return "Hello from flask-hello\n", {"Content-Type": "text/plain; charset=utf-8"}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app.run(host="0.0.0.0", port=int(os.environ.get("PORT", "8080")))
