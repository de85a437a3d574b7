"""PROV-JSON of a study: `prov` reads it back, every relation has both its ends, and each thing names its event."""

import builtins
import io
import json
from pathlib import Path
from typing import Any

import pytest
from kept_study import KeptStudy
from prov.model import ProvDocument

from consilience.core.bodies import NoiseMeasured, RunEnded, RunStarted, VerdictReached
from consilience.core.bodies_journal import ResultExcised
from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import Isolation
from consilience.identity.keys import Identity
from consilience.node.provenance import NAMESPACES, prov_json
from consilience.node.reading import StudyReader

ME = Identity.generate()
ENDS = {
    "used": ("prov:activity", "prov:entity"),
    "wasGeneratedBy": ("prov:entity", "prov:activity"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
    "wasAttributedTo": ("prov:entity", "prov:agent"),
    "wasAssociatedWith": ("prov:activity", "prov:agent"),
    "wasInvalidatedBy": ("prov:entity", "prov:activity"),
}


@pytest.fixture
def study(tmp_path: Path) -> KeptStudy:
    made = KeptStudy(tmp_path, ME)
    isolation = Isolation(level="strong", domain="split")
    run = made.append(
        RunStarted(
            study="s",
            comparability_key="c" * 64,
            environment="e",
            environment_blob=made.environment,
            isolation=isolation,
            workers=1,
            software="0.1.0",
        )
    )
    for _ in range(2):
        made.trial(b"log", 1)
    finished = [event.id for event in reading(made).events if event.fields.kind == "trial.finished"]
    made.append(NoiseMeasured(trials=tuple(finished), mean=0.15, deviation=0.05, degrees=1, deterministic=False))
    made.append(
        VerdictReached(
            candidate=made.proposed,
            incumbent=made.proposed,
            verdict="discarded",
            reasons=("no gain",),
            figures={},
            trials=tuple(finished[:1]),
        )
    )
    made.append(RunEnded(run=run, reason="drained", message=""))
    return made


def reading(study: KeptStudy) -> StudyReader:
    with StudyReader.open(study.state) as reader:
        assert reader.events  # they are read when first asked for
    return reader


def document(study: KeptStudy) -> dict[str, Any]:
    reader = StudyReader.open(study.state)
    try:
        data, count = prov_json(reader)
    finally:
        reader.close()
    found: dict[str, Any] = json.loads(data)
    assert count == sum(len(found[kind]) for kind in ("entity", "activity", "agent"))
    return found


def kinds_of(things: dict[str, Any]) -> list[str]:
    return sorted(thing["prov:type"]["$"] for thing in things.values())


def test_everything_that_was_made_done_and_who_did_it(study: KeptStudy) -> None:
    found = document(study)
    entities = ["c8e:Candidate", "c8e:Noise", "c8e:Outcome", "c8e:Outcome", "c8e:Specification", "c8e:Verdict"]
    assert kinds_of(found["entity"]) == entities
    assert kinds_of(found["activity"]) == ["c8e:Proposal", "c8e:Run", "c8e:Trial", "c8e:Trial"]
    assert set(found["agent"]) == {ME.did, "operator:o", "software:consilience-0.1.0"}
    assert all("prov:endTime" in thing for thing in found["activity"].values() if "Proposal" not in str(thing))


def test_each_thing_names_the_event_that_says_so(study: KeptStudy) -> None:
    known = {event.id for event in reading(study).events}
    found = document(study)
    for name, thing in (*found["entity"].items(), *found["activity"].items()):
        assert thing["c8e:event"] in known
        assert name.startswith("specification:") or name.endswith(thing["c8e:event"])


def test_every_relation_has_both_its_ends(study: KeptStudy) -> None:
    found = document(study)
    declared = {*found["entity"], *found["activity"], *found["agent"]}
    assert set(found) == {"prefix", "entity", "activity", "agent", *ENDS} - {"wasInvalidatedBy"}
    assert found["prefix"] == NAMESPACES
    for relation, names in ENDS.items():
        for stated in found.get(relation, {}).values():
            assert {stated[name] for name in names} <= declared
    outcomes = {thing for thing in found["entity"] if thing.startswith("outcome:")}
    generated = {stated["prov:entity"] for stated in found["wasGeneratedBy"].values()}
    assert outcomes <= generated
    verdict = next(thing for thing in found["entity"] if thing.startswith("verdict:"))
    sources = {s["prov:usedEntity"] for s in found["wasDerivedFrom"].values() if s["prov:generatedEntity"] == verdict}
    assert len(sources & outcomes) == 1
    assert f"candidate:{study.proposed}" in sources


def test_prov_reads_it_back(study: KeptStudy) -> None:
    text = json.dumps(document(study))
    back = ProvDocument.deserialize(io.StringIO(text), format="json")
    again = io.StringIO()
    back.serialize(again, format="json")
    assert ProvDocument.deserialize(io.StringIO(again.getvalue()), format="json") == back
    assert document(study) == document(study)


def test_what_was_excised_is_invalidated_with_what_rests_on_it(study: KeptStudy) -> None:
    finished = next(event.id for event in reading(study).events if event.fields.kind == "trial.finished")
    excision = study.append(ResultExcised(target=finished, reason="wrong data"))
    found = document(study)
    gone = {stated["prov:entity"].split(":")[0] for stated in found["wasInvalidatedBy"].values()}
    assert gone == {"outcome", "noise", "verdict"}
    assert {stated["prov:activity"] for stated in found["wasInvalidatedBy"].values()} == {f"event:{excision}"}
    assert found["activity"][f"event:{excision}"]["c8e:reason"] == "wrong data"


def test_without_prov_the_extra_is_named(study: KeptStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    true_import = builtins.__import__

    def refuse(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("prov"):
            raise ImportError(name)
        return true_import(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(EnvironmentLacksError) as caught:
        document(study)
    assert "pip install 'consilience[audit]'" in caught.value.hint
