from importlib.metadata import version
from pathlib import Path


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    text = Path("greeting.txt").read_text().strip()
    return [f"{text} {version('hello-pyproject')}\n".encode()]
