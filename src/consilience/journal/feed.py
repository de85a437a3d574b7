"""One author's feed in one hive: which payload comes next, and whether a row follows the one before.

Rules:
    1. A feed starts at seq 0 with no `prev`; each later event names the id of the one before.
    2. A row's columns are copies of its payload; where they differ, the row is bad.
    3. Pure: signing and storing happen in `journal.journal`.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import Struct

from consilience.core.canonical import LARGEST_INTEGER, canonical_bytes
from consilience.core.errors import JournalError
from consilience.core.events import EVENT_VERSION, Event, Payload, event_id, read_payload
from consilience.core.ports import Verifier
from consilience.journal.kinds import kind_of, read_body, write_body


class Row(Struct, frozen=True, kw_only=True):
    """An event as it is stored: the signed bytes, and columns to find it by."""

    position: int
    id: str
    hive: str
    author: str
    feed: str
    seq: int
    kind: str
    payload: bytes
    jws: str


COLUMNS = ", ".join(Row.__struct_fields__)
"""The columns of a row as SQL names them, in the order in which `stored_row` reads them."""


def row_of(event: Event, position: int = -1) -> Row:
    """Return an event as it is stored at a local position; -1 for one that has none yet."""
    fields = event.fields
    return Row(
        position=position,
        id=event.id,
        hive=fields.hive,
        author=fields.author,
        feed=fields.feed,
        seq=fields.seq,
        kind=fields.kind,
        payload=event.payload,
        jws=event.jws,
    )


def stored_row(values: tuple[Any, ...]) -> Row:
    """Return the row that these columns make."""
    position, name, hive, author, feed, seq, kind, payload, jws = values
    return Row(
        position=position,
        id=name,
        hive=hive,
        author=author,
        feed=feed,
        seq=seq,
        kind=kind,
        payload=payload,
        jws=jws,
    )


class FeedHead(Struct, frozen=True, kw_only=True):
    """Where a feed stands. `seq` is -1 and `id` None before its first event."""

    hive: str
    author: str
    feed: str
    seq: int = -1
    id: str | None = None


def next_payload(head: FeedHead, body: Any, *, at: int, after: tuple[str, ...] = ()) -> Payload:
    """Return the payload that follows `head`.

    Raises:
        JournalError: no kind is registered for the body.
    """
    return Payload(
        v=EVENT_VERSION,
        hive=head.hive,
        author=head.author,
        feed=head.feed,
        seq=head.seq + 1,
        prev=head.id,
        after=tuple(sorted(after)),
        at=at,
        kind=kind_of(body).name,
        body=write_body(body),
    )


def read_event(payload: bytes, jws: str, name: str = "") -> Event:
    """Read a stored event. The signature is not checked here (`check_row` does).

    Args:
        payload: the bytes as signed.
        jws: the signature.
        name: the event's id where it is known already; else it is computed.

    Raises:
        JournalError: the bytes are not an event, or its body does not fit its kind.
    """
    try:
        fields = read_payload(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise JournalError(f"not an event: {error}") from error
    body = read_body(fields.kind, fields.body) if fields.v == EVENT_VERSION else None
    return Event(id=name or event_id(payload), payload=payload, jws=jws, fields=fields, body=body)


def check_row(row: Row, verifier: Verifier) -> str:
    """Return "" when a row's id, signature, columns and canonical form all hold, else what does not: upon receipt."""
    event = open_row(row, verifier)
    return event if isinstance(event, str) else check_canonical(row.payload)


def open_row(row: Row, verifier: Verifier) -> Event | str:
    """Return the event of a stored row whose id, signature and columns hold, else what does not.

    The signature comes before anything is parsed: bytes that nobody signed are not worth reading. Canonical form was
    checked when the row came in, and nothing that is signed can have lost it since.
    """
    if event_id(row.payload) != row.id:
        return "the id is not the hash of the payload"
    fault = verifier.verify(row.payload, row.jws, row.author)
    if fault:
        return fault
    try:
        event = read_event(row.payload, row.jws, row.id)
    except JournalError as error:
        return error.message
    fields = event.fields
    columns = (row.hive, row.author, row.feed, row.seq, row.kind)
    same = columns == (fields.hive, fields.author, fields.feed, fields.seq, fields.kind)
    return event if same else "the row's columns differ from its payload"


def check_canonical(payload: bytes) -> str:
    """Return "" when the bytes are in canonical form, else why not."""
    try:
        canonical = canonical_bytes(json.loads(payload, parse_int=_number)) == payload
    except (ValueError, RecursionError) as error:
        return f"the payload has no canonical form: {error}"
    return "" if canonical else "the payload is not in canonical form"


def _number(digits: str) -> int | float:
    """Read a number without a point: a float beyond 2^53 looks so in canonical form (RFC 8785 section 3.2.2.3)."""
    number = int(digits)
    return number if abs(number) <= LARGEST_INTEGER else float(number)


def check_link(head: FeedHead, fields: Payload) -> str:
    """Return "" when the payload follows `head`, else what is wrong with the link."""
    return _check_place(head, fields.seq, fields.prev)


def check_head(head: FeedHead, claimed: FeedHead) -> str:
    """Return "" when an event that says it follows `claimed` follows `head`, else what is wrong with the link."""
    return _check_place(head, claimed.seq + 1, claimed.id)


def _check_place(head: FeedHead, seq: int, prev: str | None) -> str:
    if seq != head.seq + 1:
        return f"seq {seq} follows seq {head.seq}"
    if prev != head.id:
        return "prev is not the id of the event before"
    return ""


def advance(head: FeedHead, event: Event) -> FeedHead:
    """Return the head after one more event."""
    return FeedHead(hive=head.hive, author=head.author, feed=head.feed, seq=event.fields.seq, id=event.id)
