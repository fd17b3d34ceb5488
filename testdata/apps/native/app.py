"""What the assemble hook has installed: a C extension, a program of Debian's, a file out of a git repository."""

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fast

jq = subprocess.run(["jq", ".answer"], input=f'{{"answer": {fast.answer()}}}', capture_output=True, text=True, check=True)
LINE = f"Hello from native: {jq.stdout.strip()}, {Path('/opt/data/data.txt').read_text().strip()}\n"


class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        body = LINE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Hello).serve_forever()
