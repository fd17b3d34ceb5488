from importlib.metadata import version


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"Hello from pipfile with gunicorn {version('gunicorn')}\n".encode()]


if __name__ == "__main__":
    raise SystemExit("APP_MODULE was not honoured: app.py was run instead of gunicorn")
