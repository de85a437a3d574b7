"""The audit pack: a folder for a third party, who checks it offline with one small file and nothing of ours.

Rules:
    1. The same journal gives the same bytes: no clock, no path, no chance.
    2. Events go out as they were signed, in order of arrival; whatever else is in the pack can be checked against them.
    3. The folder appears whole or not at all, and never over something else.

Data flow: StudyReader -> files -> temporary folder -> ``audit-pack/``.
"""

from __future__ import annotations

import csv
import importlib.resources
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from consilience.core.bodies import HiveFounded, StudyConfigured
from consilience.core.bodies_journal import CheckpointSigned
from consilience.core.canonical import sha256_hex
from consilience.core.errors import ConsilienceError, UsageError
from consilience.core.events import Event
from consilience.core.untrusted import escape_controls, escape_formula
from consilience.journal.store import Store
from consilience.journal.views.leaderboard import BoardRow
from consilience.node.durable import draft_of
from consilience.node.reading import StudyReader
from consilience.trials.executors.folders import remove

_IDENTITY_KINDS = ("identity.", "key.", "controller.")
_COLUMNS = (
    "comparability_key",
    "place",
    "trial",
    "candidate",
    "mean",
    "bound",
    "runs",
    "failures",
    "verdict",
    "operator",
)
_README = """# Audit pack

The study "{name}": {events} signed events, {blobs} blobs, {erased} texts that were erased.

Check it, offline, with Python 3.11 or later and coincurve (`pip install coincurve`; with `cryptography` the signatures
on checkpoints are checked as well):

    python verify_pack.py

It exits with 0 when all that it checks holds and with 3 when something does not, and tells what it does not check.
`verify_pack.py` is short: read it, or write your own from the documents that it names. Whoever made this pack could
have changed it along with the manifest: take a copy of it from the released package that you trust.

| file | what it holds |
| --- | --- |
| `journal.jsonl` | each event as signed (`payload`, canonical JSON) with its signature (`jws`), in order of arrival |
| `journal.db` | the same events and blobs as one SQLite file, which `consilience replay --state` reads |
| `identities.jsonl` | those events that say which keys may sign for whom |
| `blobs/`, `blobs.json` | artifacts, evaluator, logs by name; a name is the SHA-256 of salt and bytes |
| `specification.json`, `policy.json` | what was to be improved and under which rules, with the events that say so |
| `board.csv` | the ranking, each row with the events that it rests on |
| `checkpoints.jsonl` | signed tree heads with their notes |
| `MANIFEST.json` | the SHA-256 of every file |
"""


def write_pack(reader: StudyReader, destination: Path) -> int:
    """Write the audit pack of a study and return how many events it has.

    Raises:
        UsageError: the destination exists and is not an empty folder.
        ConsilienceError: it cannot be written.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise UsageError(f"{destination} exists already", hint="name a new folder, or an empty one")
    temporary = draft_of(destination)
    try:
        temporary.mkdir(parents=True)
        events = _write_files(reader, temporary)
        if destination.exists():
            destination.rmdir()
        temporary.rename(destination)
    except OSError as error:
        raise ConsilienceError(
            f"cannot write {destination}: {error.strerror or error}", hint="name a writable place"
        ) from error
    finally:
        remove(temporary)
    return events


def _write_files(reader: StudyReader, folder: Path) -> int:
    events = list(reader.journal.arrivals())
    salts = _write_blobs(reader, folder)
    _copy_journal(reader.journal.store, folder / "journal.db")
    named = {name for event in reader.events for name in _erased_names(event)}
    counts = {"events": len(events), "blobs": len(salts), "erased": len(named - set(salts))}
    title = escape_controls(reader.problem.name, kept="")
    own = [event for event in events if event.fields.kind.startswith(_IDENTITY_KINDS)]
    files: dict[str, str] = {
        "journal.jsonl": _lines(_signed(event) for event in events),
        "identities.jsonl": _lines(_signed(event) for event in own),
        "checkpoints.jsonl": _lines(_checkpoints(events)),
        "blobs.json": _pretty(salts),
        "policy.json": _pretty(_policy(reader)),
        "specification.json": reader.journal.blob(_founded(reader).body.specification).decode(),
        "board.csv": _board(reader),
        "README.md": _README.format(name=title, **counts),
        "verify_pack.py": importlib.resources.files("consilience.node.pack").joinpath("verify_pack.py").read_text(),
    }
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    every = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {path.relative_to(folder).as_posix(): sha256_hex(path.read_bytes()) for path in every}
    (folder / "MANIFEST.json").write_bytes(_pretty(manifest).encode())
    return len(events)


def _write_blobs(reader: StudyReader, folder: Path) -> dict[str, str]:
    """Write every blob to a file of its name, and return their salts in hex."""
    (folder / "blobs").mkdir()
    salts: dict[str, str] = {}
    for name in reader.journal.store.blob_names():
        (folder / "blobs" / name).write_bytes(reader.journal.blob(name))
        salts[name] = (reader.journal.store.salt_of(name) or b"").hex()
    return salts


def _copy_journal(store: Store, path: Path) -> None:
    """Write events and blobs to a new file, so that its bytes follow from them and not from its history."""
    copy = Store.open(path, create=True)
    try:
        copy.begin()
        for row in store.rows():
            copy.add(row)
        for name in store.blob_names():
            copy.put(store.get(name), store.salt_of(name) or b"")
        copy.commit()
    finally:
        copy.close()


def _signed(event: Event) -> dict[str, str]:
    return {"payload": event.payload.decode(), "jws": event.jws}


def _checkpoints(events: list[Event]) -> Iterator[dict[str, Any]]:
    for event in events:
        if isinstance(event.body, CheckpointSigned):
            yield {"event": event.id, **msgspec.to_builtins(event.body)}


def _erased_names(event: Event) -> tuple[str, ...]:
    return tuple(event.fields.body["blobs"]) if event.fields.kind == "blobs.erased" else ()


def _founded(reader: StudyReader) -> Event:
    return next(event for event in reader.events if isinstance(event.body, HiveFounded))


def _policy(reader: StudyReader) -> dict[str, Any]:
    """Return the policy in force with the event that states it."""
    founded = _founded(reader)
    stating = founded
    for event in reader.events:
        stating = event if isinstance(event.body, StudyConfigured) else stating
    body = stating.fields.body
    policy = body["settings"]["policy"] if "settings" in body else body["policy"]
    return {"event": stating.id, "hive": reader.hive, "hive_founded": founded.id, "policy": policy}


def _board(reader: StudyReader) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, "events"])
    for key in reader.board.keys():  # noqa: SIM118  a method, not a dict
        for row in (*reader.board.rows(key), *reader.board.quarantined(key)):
            writer.writerow([*map(_cell, _values(key, row)), " ".join(row.events)])
    return text.getvalue()


def _values(key: str, row: BoardRow) -> tuple[Any, ...]:
    return (key, *(getattr(row, name) for name in _COLUMNS[1:]))


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if value != value else repr(value)  # noqa: PLR0124  not a number: nothing was measured
    return escape_formula(escape_controls(value, kept="")) if isinstance(value, str) else value


def _lines(values: Any) -> str:
    return "".join(json.dumps(value, separators=(",", ":")) + "\n" for value in values)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
