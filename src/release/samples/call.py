"""Calls functions of Section 1 with sample arguments, where the application is, before it is deployed."""
import asyncio
import inspect
import json
import os
import sys
import traceback

REFUSED = 97

order = json.loads(os.environ.pop("OVERCOAT_SAMPLES"))
with open("app.py", encoding="utf-8-sig") as file:
    # What follows Section 1 may begin to serve, and is not executed.
    text = "\n".join(file.read().split("\n")[: order["until"]])
sys.path.insert(0, os.getcwd())
module = type(sys)("app")
module.__file__ = os.path.abspath("app.py")
sys.modules["app"] = module


def refuse(what):
    """Says why, and ends."""
    print(what, file=sys.stderr, flush=True)
    sys.exit(REFUSED)


async def call(function, arguments):
    """Calls as Hopr does: inside the event loop."""
    value = function(*arguments)
    return await value if inspect.isawaitable(value) else value


try:
    exec(compile(text + "\n", "app.py", "exec"), module.__dict__)
except Exception:
    refuse(traceback.format_exc() + "Section 1, and what is before it, cannot be executed")
for name, arguments in order["calls"]:
    try:
        answer = asyncio.run(call(getattr(module, name), arguments))
    except Exception:
        refuse(traceback.format_exc() + f"`{name}` raised this when it was called with the sample")
    wanted = type(None) if name == "on_receive_terminator" else dict
    if not isinstance(answer, wanted):
        refuse(f"`{name}` must return {wanted.__name__}, and returned {type(answer).__name__}")
    print(f"{name} returned {type(answer).__name__}", flush=True)
