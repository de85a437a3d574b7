"""A scripted chat-completions server on loopback: no model, only a number moved in the program it is shown.

A fake, so that no model's price, time or chance is in the figures; it speaks the real protocol. It prints its
port on the first line and serves until it is killed, or the process that started it ends.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import re
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LINE = re.compile(r"^VALUE = [-0-9.e]+$", re.MULTILINE)
COUNT = itertools.count(1)
PR_SET_PDEATHSIG = 1


def answer(prompt: str) -> str:
    """Return a SEARCH/REPLACE block that moves the last number shown."""
    found = LINE.findall(prompt)
    old = found[-1] if found else "VALUE = 1.0"
    new = f"VALUE = {next(COUNT) * 0.618 % 10:.6f}"
    return f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


class Handler(BaseHTTPRequestHandler):
    """Answers every POST as a chat completion."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for a delayed acknowledgement

    def do_POST(self) -> None:
        """Answer one request."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = answer("\n".join(str(message["content"]) for message in body["messages"]))
        message = {"role": "assistant", "content": text}
        reply = {
            "id": "scripted",
            "object": "chat.completion",
            "created": 0,
            "model": body.get("model", "scripted"),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
