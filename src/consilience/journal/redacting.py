"""Redacting bodies: the free text of an event passes the redactor before it is signed.

Rules:
    1. Only the fields that the registry calls `texts` change; ids, figures and names that views match on do not.
    2. Pure.

Data flow: Payload -> `redact_payload` -> bytes that are signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from consilience.core.events import Payload
from consilience.core.ports import Redactor
from consilience.journal.kinds import BY_NAME


def redact_payload(payload: Payload, redactor: Redactor) -> Payload:
    """Return the payload with secrets taken out of its free text."""
    kind = BY_NAME.get(payload.kind)
    body: Any = payload.body
    for path in kind.texts if kind else ():
        body = _redacted(body, path.split("."), redactor)
    return payload if body is payload.body else replace(payload, body=body)


def _redacted(value: Any, path: list[str], redactor: Redactor) -> Any:
    """Return the value with the text at the path redacted; the same object where nothing changed."""
    if not path:
        hidden = redactor.value(value)
        return value if hidden == value else hidden
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    inner = _redacted(value[path[0]], path[1:], redactor)
    return value if inner is value[path[0]] else {**value, path[0]: inner}
