"""A journal as lines of JSON, to carry feeds from one machine to another: written and read one line at a time.

Rules:
    1. The payload is in the line as the exact text that was signed; nothing is serialised again.
    2. A blob's line stands before the first event that names it; events stand in order of arrival, causes first.
    3. The last line counts the others: a file that was cut off is refused. Reading checks form only; intake checks
       all else.

Form, by line: ``{"consilience": "journal", "v": 1}``; then ``{"blob", "salt", "data"}`` with hex name, hex salt and
base64 bytes, or ``{"id", "jws", "payload"}``; last ``{"end": {"events", "blobs"}}``.

Data flow: Store -> `lines` -> file -> `read_lines` -> `parts` -> `Intake`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import msgspec
from msgspec import Struct

from consilience.core.errors import ForeignEventError, NotFoundError
from consilience.core.events import Event, read_payload
from consilience.journal.feed import Row, read_event, row_of
from consilience.journal.intake import MAX_BLOB, Blob
from consilience.journal.kinds import named_blobs
from consilience.journal.store import Store

FORMAT = "journal"
FORMAT_VERSION = 1
PART_EVENTS = 5_000  # of one part on its way in: some 10 MB of rows
PART_BYTES = 64 << 20  # of blobs of one part, reached or passed by one blob
_MOST_BEFORE_EVENT = 16 * PART_BYTES  # of blobs before one event: a genesis names all files of its evaluator
_LINE_BYTES = 2 * MAX_BLOB  # base64 makes four bytes of three
_HINT = "export the journal anew, or get the file again"

Item = Row | tuple[str, Blob]
"""What a journal is carried as: an event, or a blob with its name."""


class _Head(Struct, frozen=True, kw_only=True):
    consilience: str
    v: int


class _BlobLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    blob: str
    salt: str
    data: str


class _EventLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    jws: str
    payload: str


class _Counts(Struct, frozen=True, kw_only=True):
    events: int = 0
    blobs: int = 0


class _End(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    end: _Counts


def items(store: Store) -> Iterator[Item]:
    """Yield all that a journal holds, each blob before the first event that names it, as of the first read."""
    told: set[str] = set()
    for row in store.rows():
        for name in named_blobs(read_event(row.payload, row.jws), store.get):
            if name not in told:
                told.add(name)
                blob = _blob(store, name)
                if blob is not None:
                    yield name, blob
        yield row


def _blob(store: Store, name: str) -> Blob | None:
    """Return a blob; None for a text that was erased."""
    try:
        return Blob(data=store.get(name), salt=store.salt_of(name) or b"")
    except NotFoundError:
        return None


def lines(found: Iterable[Item]) -> Iterator[bytes]:
    """Yield the lines of a file for these items."""
    yield msgspec.json.encode(_Head(consilience=FORMAT, v=FORMAT_VERSION)) + b"\n"
    events = blobs = 0
    for item in found:
        if isinstance(item, Row):
            events += 1
            line: Struct = _EventLine(id=item.id, jws=item.jws, payload=item.payload.decode())
        else:
            blobs += 1
            name, blob = item
            line = _BlobLine(blob=name, salt=blob.salt.hex(), data=base64.b64encode(blob.data).decode())
        yield msgspec.json.encode(line) + b"\n"
    yield msgspec.json.encode(_End(end=_Counts(events=events, blobs=blobs))) + b"\n"


def read_lines(file: BinaryIO) -> Iterator[Item]:
    """Yield what a file's lines hold.

    Raises:
        ForeignEventError: a line is not one of a journal's, or the file was cut off. Names the line.
    """
    events = blobs = 0
    for number, line in enumerate(iter(lambda: file.readline(_LINE_BYTES), b""), start=1):
        try:
            if number == 1:
                _check_head(msgspec.json.decode(line, type=_Head))
                continue
            found = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            if "end" in found:
                _check_end(msgspec.json.decode(line, type=_End).end, _Counts(events=events, blobs=blobs), file)
                return
            item = _blob_item(line) if "blob" in found else _row(line)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise ForeignEventError(f"line {number} is not of a journal: {error}", hint=_HINT) from error
        events += isinstance(item, Row)
        blobs += not isinstance(item, Row)
        yield item
    raise ForeignEventError(f"the file was cut off after {events} events: its last line is missing", hint=_HINT)


def _check_head(head: _Head) -> None:
    if head.consilience != FORMAT or head.v != FORMAT_VERSION:
        raise ValueError(f"{head.consilience} {head.v} is not {FORMAT} {FORMAT_VERSION}")


def _check_end(told: _Counts, found: _Counts, file: BinaryIO) -> None:
    if told != found:
        raise ValueError(f"it counts {told.events} events and {told.blobs} blobs, not {found.events} and {found.blobs}")
    if file.readline(_LINE_BYTES):
        raise ValueError("more follows the last line")


def _blob_item(line: bytes) -> tuple[str, Blob]:
    found = msgspec.json.decode(line, type=_BlobLine)
    return found.blob, Blob(data=base64.b64decode(found.data, validate=True), salt=bytes.fromhex(found.salt))


def _row(line: bytes) -> Row:
    found = msgspec.json.decode(line, type=_EventLine)
    payload = found.payload.encode()
    return row_of(Event(id=found.id, payload=payload, jws=found.jws, fields=read_payload(payload), body=None))


def parts(found: Iterable[Item]) -> Iterator[tuple[list[Row], dict[str, Blob]]]:
    """Yield items in parts that fit in memory; a blob is in the part of the event that it stands before.

    Raises:
        ForeignEventError: more blobs stand before one event than any event names.
    """
    rows: list[Row] = []
    blobs: dict[str, Blob] = {}
    size = since = 0
    for item in found:
        if isinstance(item, Row):
            rows.append(item)
            since = 0
            if len(rows) >= PART_EVENTS or size >= PART_BYTES:
                yield rows, blobs
                rows, blobs, size = [], {}, 0
        else:
            blobs[item[0]] = item[1]
            size += len(item[1].data)
            since += len(item[1].data) + 1
            if since > _MOST_BEFORE_EVENT:
                raise ForeignEventError(f"more than {_MOST_BEFORE_EVENT} bytes of blobs before one event", hint=_HINT)
    yield rows, blobs
