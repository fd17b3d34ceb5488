"""One pod of a small convoy: receives a message, hands it to Section 1, passes the answer on."""
import asyncio
import inspect
import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

# ──────────── SECTION 1: Business Logic (yours to modify) ────────────


def on_receive_relay(payload):
    """Passes a message on."""
    payload["hops"] = payload.get("hops", 0) + 1
    return payload


# ──────────── END SECTION 1 ────────────

# ──────────── SECTION 2: Transport (do not change) ────────────

PORT = int(os.environ.get("PORT", "8000"))


async def maybe(value):
    """Awaits what can be awaited."""
    return await value if inspect.isawaitable(value) else value


async def handle(payload, headers):
    """Hands one message over."""
    return await maybe(on_receive_relay(payload))


class Handler(BaseHTTPRequestHandler):
    """Messages come by POST."""

    def do_POST(self):
        length = int(self.headers.get("Content-Length", "0"))
        payload = json.loads(self.rfile.read(length) or b"{}")
        answer = asyncio.run(handle(payload, dict(self.headers)))
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main():
    """Serves until it is ended."""
    HTTPServer(("", PORT), Handler).serve_forever()


if __name__ == "__main__":
    main()
