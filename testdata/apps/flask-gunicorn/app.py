from flask import Flask

application = Flask(__name__)


@application.get("/")
def hello():
    return "Hello from flask-gunicorn\n", {"Content-Type": "text/plain; charset=utf-8"}


if __name__ == "__main__":
    raise SystemExit("APP_MODULE was not honoured: app.py was run instead of gunicorn")
