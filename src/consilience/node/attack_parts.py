"""The parts beside the executor that have to answer an attack, tried with the same attack.

Rules:
    1. Each check tries the attack on the product's own code, and an honest case beside it: a part that refuses
       everything has not held.

Data flow: Attack.part -> check -> findings, "" being none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator

import msgspec

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.bodies import TrialFinished
from consilience.core.events import Event, Payload, payload_bytes
from consilience.core.outcome import Isolation, Resources
from consilience.core.study import Spend
from consilience.identity.keys import EnvelopeVerifier, Identity
from consilience.journal.feed import FeedHead, Row, advance, check_link, check_row, next_payload, read_event
from consilience.search.novelty import normal_form
from consilience.trials.attacks.model import Attack
from consilience.trials.attacks.outside import HOSTILE
from consilience.trials.attacks.targets import NUMERIC_HONEST

Show = Callable[[str], str]
"""What every untrusted text passes before it is shown."""

_CONTROL = frozenset({"Cc", "Cf", "Zl", "Zp"})  # Unicode categories that no reader sees as what they are
_MINE, _THEIRS = "0" * 64, "1" * 64


def part_findings(attack: Attack, show: Show) -> tuple[str, ...]:
    """Try an attack on the part that has to answer it.

    Args:
        attack: one of the catalogue.
        show: how interfaces show untrusted text.
    """
    if attack.part == "journal":
        return tuple(replay_findings())
    if attack.part == "novelty":
        return tuple(edit_findings(attack.program))
    if attack.part == "text":
        return tuple(text_findings(attack.program, show))
    return ()


def replay_findings() -> Iterator[str]:
    """Hand in somebody's signed result as one's own, in every place where it might fit."""
    author, thief = Identity.generate(), Identity.generate()
    head = FeedHead(hive="hive", author=author.did, feed="feed")
    event = _signed(next_payload(head, _result(_THEIRS), at=0), author)
    if fault := check_row(_row(event), EnvelopeVerifier()) or check_link(head, event.fields):
        yield f"an honest result is refused: {fault}"
    for what, row in _thefts(event, thief):
        if not check_row(row, EnvelopeVerifier()):
            yield f"a replayed result passes as {what}"
    if not check_link(advance(head, event), event.fields):
        yield "a result passes a second time in its own feed"


def edit_findings(program: str) -> Iterator[str]:
    """Offer the honest control again, trivially edited, as a candidate of one's own."""
    leader, edited, other = (_artifact(text) for text in (NUMERIC_HONEST, program, NUMERIC_HONEST + "\nX = 1\n"))
    if leader == edited or normal_form(leader) != normal_form(edited):
        yield "a trivial edit passes as another candidate"
    if normal_form(leader) == normal_form(other):
        yield "another candidate passes as the same"


def text_findings(program: str, show: Show) -> Iterator[str]:
    """Have hostile text shown."""
    for text in (program, HOSTILE):
        if any(unicodedata.category(letter) in _CONTROL for letter in _unbroken(show(text))):
            yield "text reaches the reader with control characters"
    if show("plain text") != "plain text":
        yield "plain text is changed"


def _unbroken(text: str) -> str:
    return text.replace("\n", "").replace("\t", "")


def _thefts(event: Event, thief: Identity) -> Iterator[tuple[str, Row]]:
    """Yield the theft's name and the row that it would put in the journal."""
    fields = event.fields
    yield "the thief's", _row(event, author=thief.did)
    yield "another hive's", _row(event, hive="another")
    yield "another feed's", _row(event, feed="another")
    for what, changed in {
        "the thief's, rewritten": msgspec.structs.replace(fields, author=thief.did),
        "that of another trial": msgspec.structs.replace(fields, body={**fields.body, "started": _MINE}),
        "a better score": msgspec.structs.replace(fields, body={**fields.body, "metrics": {"score": 2.0}}),
    }.items():
        yield what, _row(read_event(payload_bytes(changed), event.jws))


def _signed(payload: Payload, author: Identity) -> Event:
    data = payload_bytes(payload)
    return read_event(data, author.sign(data))


def _row(event: Event, **changed: str) -> Row:
    fields = event.fields
    columns = {"hive": fields.hive, "author": fields.author, "feed": fields.feed, "kind": fields.kind, **changed}
    return Row(position=0, id=event.id, seq=fields.seq, payload=event.payload, jws=event.jws, **columns)


def _result(started: str) -> TrialFinished:
    return TrialFinished(
        started=started,
        metrics={"score": 1.0},
        failure=None,
        resources=Resources(),
        spent=Spend(trials=1),
        isolation=Isolation(level="strong", domain="split"),
        comparability_key="",
        environment="",
        log="",
        feedback="",
    )


def _artifact(text: str) -> Artifact:
    return Artifact(files=(ArtifactFile("program.py", text),))
