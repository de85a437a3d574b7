"""Time stamps of checkpoints by an authority outside: RFC 3161 over HTTP.

Rules:
    1. The authority sees one hash, the SHA-256 of the note's text; signatures below the text come and go.
    2. An answer is kept only if it is about that hash and this question; whose it is, its reader checks against a root
       certificate that he trusts.

Data flow: note -> `ask` -> response bytes -> blob; response bytes + note + root certificate -> `check_timestamp`.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from hashlib import sha256
from types import ModuleType
from typing import Any

from cryptography import x509
from msgspec import Struct

from consilience.core.errors import EnvironmentLacksError, ProofError, UsageError

LARGEST_RESPONSE = 2**20  # bytes; a token with its certificates has some 6,000
_WAIT_SECONDS = 30.0
_GRANTED = 0  # RFC 3161 section 2.4.2
_MEND = "ask the authority again: `consilience checkpoint --timestamp URL`"


class TimeStamp(Struct, frozen=True, kw_only=True):
    """A time stamp that is about a note. `trusted`: its signature leads to the root certificate that was given."""

    at: str
    trusted: bool


def ask(url: str, text: str) -> bytes:
    """Have a note's text stamped; return the authority's response.

    Raises:
        UsageError: not an HTTP URL.
        EnvironmentLacksError: the package or the authority is not to be had.
        ProofError: the answer is not about this text.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--timestamp {url}: not a URL of http or https", hint="name the authority's address")
    rfc3161 = _package()
    algorithm = rfc3161.base.HashAlgorithm.SHA256
    wanted = rfc3161.TimestampRequestBuilder().data(text.encode()).hash_algorithm(algorithm).build()
    response = _post(url, wanted.as_bytes())
    found = _decode(rfc3161, response)
    if found.tst_info.nonce != wanted.nonce:
        raise ProofError("the time stamp answers another question", hint=_MEND)
    _require_about(found, text)
    return response


def check_timestamp(response: bytes, text: str, root_pem: bytes | None) -> TimeStamp:
    """Check a time stamp of a note's text.

    Without a root certificate only that it is a stamp about this text: its time and its signature are unchecked then.

    Raises:
        EnvironmentLacksError: the package is not installed.
        UsageError: the root certificate cannot be read.
        ProofError: the time stamp does not hold.
    """
    rfc3161 = _package()
    found = _decode(rfc3161, response)
    _require_about(found, text)
    if root_pem is not None:
        verifier = rfc3161.VerifierBuilder(roots=_roots(root_pem)).build()
        try:
            verifier.verify(_decode(rfc3161, response), sha256(text.encode()).digest())
        except (rfc3161.VerificationError, ValueError) as error:
            raise ProofError(f"the time stamp does not hold: {error}", hint=_MEND) from error
    return TimeStamp(at=found.tst_info.gen_time.isoformat(), trusted=root_pem is not None)


def _roots(root_pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(root_pem)
    except ValueError as error:
        raise UsageError(f"--tsa-root: {error}", hint="give the authority's root certificate as PEM") from error


def _require_about(found: Any, text: str) -> None:
    if found.tst_info.message_imprint.message != sha256(text.encode()).digest():
        raise ProofError("the time stamp is about another text", hint=_MEND)


def _decode(rfc3161: ModuleType, response: bytes) -> Any:
    try:
        found = rfc3161.decode_timestamp_response(response)
        status = found.status
        if status == _GRANTED:
            found.tst_info  # noqa: B018  what is granted has one; read here, where a failure is expected
    except ValueError as error:
        raise ProofError(f"not a time stamp: {error}", hint=_MEND) from error
    if status != _GRANTED:
        raise ProofError(f"the authority refused: {'; '.join(found.status_string) or status}", hint=_MEND)
    return found


def _post(url: str, body: bytes) -> bytes:
    headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310  http or https, checked above
    try:
        with urllib.request.urlopen(request, timeout=_WAIT_SECONDS) as reply:  # noqa: S310  the same
            data: bytes = reply.read(LARGEST_RESPONSE + 1)
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
        raise EnvironmentLacksError(
            f"no answer from {url}: {getattr(error, 'reason', error)}", hint="check the address and the network"
        ) from error
    if len(data) > LARGEST_RESPONSE:
        raise ProofError(f"{url} answered with more than {LARGEST_RESPONSE} bytes", hint="that is no authority")
    return data


def _package() -> ModuleType:
    try:
        import rfc3161_client  # noqa: PLC0415  an extra, needed by few
        import rfc3161_client.base  # noqa: PLC0415  the same
    except ImportError as error:
        raise EnvironmentLacksError(
            "time stamps need the package rfc3161-client", hint="pip install 'consilience[audit]'"
        ) from error
    return rfc3161_client
