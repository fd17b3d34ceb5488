"""One pod of a small convoy: receives a message, hands it to Section 1, passes the answer on."""
import asyncio
import inspect
import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

# ──────────── SECTION 1: Business Logic (yours to modify) ────────────


def on_trigger(payload, headers):
    """Starts a journey."""
    return {"greeting": "hello", "number": payload.get("number", 0)}


# ──────────── END SECTION 1 ────────────

# ──────────── SECTION 2: Transport (do not change) ────────────

PORT = int(os.environ.get("PORT", "8000"))


async def maybe(value):
    """Awaits what can be awaited."""
    return await value if inspect.isawaitable(value) else value


async def handle(payload, headers):
    """Hands one message over."""
    return await maybe(on_trigger(payload, headers))


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
    sent = 0
    for number in range(5):
        asyncio.run(handle({"number": number}, {}))
        sent += 1
    print(f"🚀 Auto-trigger complete — {sent}/5 messages sent", flush=True)
    HTTPServer(("", PORT), Handler).serve_forever()


if __name__ == "__main__":
    main()
