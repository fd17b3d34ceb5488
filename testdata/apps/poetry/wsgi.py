from importlib.metadata import version


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"Hello from poetry with gunicorn {version('gunicorn')}\n".encode()]
