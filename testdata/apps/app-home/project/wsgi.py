import os

import greeting  # beside the project directory: the source root is on PYTHONPATH


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{greeting.TEXT} in {os.path.basename(os.getcwd())}\n".encode()]
