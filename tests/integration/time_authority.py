"""A time-stamping authority of our own, made with `openssl ts`, behind a loopback HTTP server."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

CONFIG = """
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[stamps]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa]
default_tsa = authority
[authority]
serial = serial
signer_cert = stamps.pem
signer_key = stamps.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""


def available() -> bool:
    return shutil.which("openssl") is not None


def make_authority(folder: Path, name: str = "authority") -> Path:
    """Make a root and a stamping certificate; return the root's file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tsa.conf").write_text(CONFIG)
    (folder / "serial").write_text("01\n")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config tsa.conf"
    run(folder, f"req -x509 {key} -keyout root.key -out root.pem -subj /CN={name}-root -days 30 -extensions root")
    run(folder, f"req -new {key} -keyout stamps.key -out stamps.csr -subj /CN={name}")
    run(
        folder,
        "x509 -req -in stamps.csr -CA root.pem -CAkey root.key -set_serial 2 -days 30"
        " -extfile tsa.conf -extensions stamps -out stamps.pem",
    )
    return folder / "root.pem"


def run(folder: Path, line: str) -> None:
    subprocess.run(["openssl", *line.split()], cwd=folder, check=True, capture_output=True, timeout=30)


def stamp(folder: Path, query: bytes) -> bytes:
    (folder / "query").write_bytes(query)
    run(folder, "ts -reply -config tsa.conf -section authority -queryfile query -out reply")
    return (folder / "reply").read_bytes()


@contextmanager
def serving(folder: Path, *, replay: bytes | None = None) -> Iterator[str]:
    """Serve an authority and yield its URL; `replay` answers every query with the same bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            reply = replay if replay is not None else stamp(folder, query)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *parts: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
