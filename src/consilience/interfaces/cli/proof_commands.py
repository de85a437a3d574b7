"""`checkpoint`, `witness`, `prove`, `verify-proof`: that nothing was removed, and that an event is in a log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from consilience.core.errors import EXIT_DONE, NotFoundError, UsageError
from consilience.interfaces.cli import options
from consilience.interfaces.cli.output import emit, note, warn
from consilience.interfaces.text import one_line
from consilience.journal.checkpoints import Claim
from consilience.journal.notes import Cosignature, origin_of, read_note
from consilience.journal.proofs import InclusionProof, ProofReport, write_proof
from consilience.journal.reader import JOURNAL_NAME
from consilience.journal.store import Store
from consilience.node import checkpoints, proving, timestamps, witnessing
from consilience.node.clock import SystemClock
from consilience.node.identity_events import as_signed
from consilience.node.log_writer import LogWriter, open_log, own_witness

_LARGEST_FILE = 4 * 2**20
_STDIN = "-"


def _key_file() -> Path:
    settings = options.resolve_settings(None, {})
    return Path(settings.value("key")).expanduser() if settings.value("key") else options.places().key


def _read(name: str) -> str:
    """Return a file that somebody else may have written, or stdin for ``-``."""
    try:
        if name == _STDIN:
            return sys.stdin.read(_LARGEST_FILE)
        with Path(name).open(encoding="utf-8", newline="") as file:
            return file.read(_LARGEST_FILE)
    except OSError as error:
        raise UsageError(
            f"cannot read {name}: {error.strerror or error}", hint="name a file, or - for stdin"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not text", hint="name the file that the other side printed") from error


def _root(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path is not None else None
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror or error}", hint="name the authority's root certificate"
        ) from error


def _hand_over(data: object, text: str, out: Path | None, *, as_json: bool) -> None:
    """Print a text, or write it to a file and say so."""
    shown, end = (text, "") if out is None else (one_line(f"written to {out}", 0), "\n")
    if out is not None:
        out.write_text(text, encoding="utf-8", newline="")
    emit(data, lambda console: console.out(shown, end=end, highlight=False), as_json=as_json)


class _Asked(Struct, frozen=True, kw_only=True):
    """What `checkpoint` is asked, beside where."""

    out: Path | None
    since: int | None
    cosigned: str | None
    witnesses: tuple[str, ...]
    url: str | None


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the note or request to this file.")
@click.option("--since", type=int, help="Print a request to a witness that cosigned this size last; 0 for a new one.")
@click.option("--add", "cosigned", help="Keep cosignatures from this file (- for stdin): what `witness` printed.")
@click.option("--witness", "witnesses", multiple=True, help="With --add: a witness key that needs no certificate.")
@click.option("--timestamp", "url", help="Have the checkpoint stamped by this RFC 3161 authority.")
@options.with_study
def checkpoint(folder: str, state: str, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Sign the journal's tree head, for others to hold on to: nothing that it covers can be removed unseen."""
    asked = _Asked(**flags)
    path = options.state_of(folder, state)
    with open_log(path, options.places(), _key_file(), options.passphrase()) as log:
        if asked.cosigned is not None:
            claim, added = checkpoints.add_cosignatures(log, _read(asked.cosigned), asked.witnesses)
        else:
            claim, added = checkpoints.sign_head(log), ()
        if asked.url is not None:
            claim = checkpoints.add_timestamp(log, claim, timestamps.ask(asked.url, read_note(claim.note).text))
        text = claim.note if asked.since is None else checkpoints.witness_request(log, claim, asked.since)
        data = _checkpoint_data(log, claim, text, added)
    note(f"signed with {log.key.did}")
    _hand_over(data, text, asked.out, as_json=as_json)
    if asked.since is not None:
        note(f"on the witness's machine: consilience witness {asked.out or 'REQUEST'} --key {log.key.did} --json")
    return EXIT_DONE


def _checkpoint_data(log: LogWriter, claim: Claim, text: str, added: tuple[Cosignature, ...]) -> dict[str, object]:
    return {
        "origin": origin_of(claim.feed),
        "size": claim.head.size,
        "root": claim.head.root.hex(),
        "key": log.key.did,
        "added": added,
        "timestamps": claim.timestamps,
        "text": text,
    }


@click.command()
@click.argument("request")
@click.option("--key", "log_key", default="", help="The log's key, the first time: its owner's `checkpoint` shows it.")
@options.with_json
def witness(request: str, log_key: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Cosign a peer's checkpoint (- for stdin) if it continues what was cosigned before; else exit code 3."""
    places = options.places()
    own = own_witness(places, _key_file(), options.passphrase())
    asked = witnessing.read_request(_read(request))
    done = witnessing.witness(asked, places.witnessed, own.key, SystemClock(), log_key)
    note(f"cosigned {done.origin}: size {done.size}, before {done.before}; with {own.key.did} of {own.identity.did}")
    if done.elsewhere:
        warn(f"the same key also speaks as {', '.join(done.elsewhere)}: ask its owner why it began another log")
    data = {
        **msgspec.structs.asdict(done),
        "key": own.key.did,
        "operator": own.identity.did,
        "identity": as_signed(own.rows),
    }
    emit(data, lambda console: console.out(done.cosignature, end="", highlight=False), as_json=as_json)
    return EXIT_DONE


@click.command()
@click.argument("event")
@click.option("--size", type=int, help="Prove against the checkpoint of this size.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the proof to this file.")
@options.with_study
def prove(event: str, size: int | None, out: Path | None, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Print the proof that EVENT (an id, or how it begins) is in the journal; `verify-proof` checks it offline."""
    path = options.state_of(folder, state)
    proof = _existing_proof(path, event, size)
    if proof is None:
        with open_log(path, options.places(), _key_file(), options.passphrase()) as log:
            row = proving.find_event(log.journal.store, event)
            claim = checkpoints.sign_head(log)
            proof = proving.make_proof(log.journal.store, path, row, claim)
        note(f"signed a checkpoint of size {claim.head.size}, since none covered the event")
    _hand_over(proof, write_proof(proof).decode(), out, as_json=as_json)
    if out is not None:
        note(f"anybody checks it, offline: consilience verify-proof {out}")
    return EXIT_DONE


def _existing_proof(path: Path, event: str, size: int | None) -> InclusionProof | None:
    """Return a proof against a checkpoint that was signed already; None where none covers the event."""
    store = Store.open(path / JOURNAL_NAME)
    try:
        row = proving.find_event(store, event)
        claim = proving.covering_claim(store, options.places(), row.position, size)
        if claim is None and size is not None:
            raise NotFoundError(
                f"no checkpoint of size {size} covers position {row.position}",
                hint="leave --size out, or see `consilience log --kind checkpoint.signed`",
            )
        return proving.make_proof(store, path, row, claim) if claim is not None else None
    finally:
        store.close()


@click.command(name="verify-proof")
@click.argument("proof")
@click.option("--checkpoint", "trusted", default="", help="A note that you have: the proof must be about its head.")
@click.option(
    "--witness", "witnesses", multiple=True, help="A witness key, or its operator's DID, that must have cosigned."
)
@click.option("--tsa-root", type=click.Path(path_type=Path), help="Root certificate (PEM) for its time stamps.")
@options.with_json
def verify_proof(
    proof: str,
    trusted: str,
    witnesses: tuple[str, ...],
    tsa_root: Path | None,
    as_json: bool,  # noqa: FBT001  click's
) -> int:
    """Check a proof (- for stdin) offline, with nothing but the file; exit code 3 when it does not hold."""
    note_text = _read(trusted) if trusted else ""
    found, report = proving.verify_proof(_read(proof).encode(), note_text, witnesses)
    stamps = proving.check_stamps(found, _root(tsa_root))
    report = proving.with_stamps(report, stamps)
    lines = _lines(report, stamps)
    data = {**msgspec.structs.asdict(report), "timestamps": stamps}
    emit(data, lambda console: console.print("\n".join(lines), soft_wrap=True), as_json=as_json)
    return EXIT_DONE


def _lines(report: ProofReport, stamps: tuple[timestamps.TimeStamp, ...]) -> list[str]:
    event = f"{one_line(report.kind)} {report.event[:12]}"
    lines = [
        f"holds: event {event}, signed by {report.author}",
        f"holds: it is number {report.index} of {report.size} in {one_line(report.origin)}, root {report.root[:12]}",
        f"holds: that head is signed by {report.log_key}, certified by {report.operator}",
    ]
    for each in report.witnesses:
        whose = f"certified by {each.operator}" if each.operator else "no certificate here"
        lines.append(f"holds: cosigned at {proving.when(each.time)} by {each.key}, {whose}")
    lines += [f"holds: time stamp {each.at}, by an authority under your root" for each in stamps if each.trusted]
    return lines + [f"not checked: {text}" for text in report.unchecked]
