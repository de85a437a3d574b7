"""`soul`: what an identity did, after real runs, and a belief that changes the next run."""

import json
from pathlib import Path

from conftest import Shell

from consilience.core.bodies_identity import BeliefHeld
from consilience.core.bodies_journal import ResultExcised
from consilience.core.errors import EXIT_USAGE, EXIT_VERIFICATION
from consilience.core.problem import evaluator_digest
from consilience.interfaces.cli import options
from consilience.journal.reader import JournalReader
from consilience.node.upkeep import open_session


def ids(folder: Path) -> set[str]:
    reader = JournalReader.open(folder)
    found = {event.id for event in reader.arrivals()}
    reader.close()
    return found


def test_two_runs_and_an_apply_are_in_the_soul(shell: Shell) -> None:
    machine = shell.machine
    folder = machine.problem(with_program=True)
    assert shell("run", "valley", "--trials", "15", "-q")[0] == 0
    assert shell("run", "valley", "--trials", "30", "-q")[0] == 0
    applied = shell.data("apply", "-p", "valley")
    found = shell.data("soul", "-p", "valley")
    soul = found["soul"]
    assert found["verified"]
    assert len(found["journals"]) == 2
    assert soul["genesis"]["body"]["origin"] == "generated"
    assert [key["purpose"] for key in soul["certified"]] == ["witness"]
    assert soul["key"] == soul["did"]
    names = [row["name"] for row in soul["decisions"]]
    assert names[-1] == "applied"
    assert names.count("promoted") >= 1
    last = [row for row in soul["decisions"] if row["name"] == "promoted"][-1]
    assert last["observed"] == last["figures"]["mean"]
    after = {each["what"]: each for each in last["aftermath"]}
    assert after["applied"]["event"] == soul["decisions"][-1]["event"]
    assert after["recheck"]["text"] == "equal"
    assert soul["decisions"][-1]["about"] == applied["proposed"]
    earlier = [row for row in soul["decisions"] if row["name"] == "promoted" and row != last]
    assert all("replaced" in {each["what"] for each in row["aftermath"]} for row in earlier)
    (belief,) = soul["beliefs"]
    assert len(belief["supports"]) == names.count("promoted")
    assert belief["contradicts"] == []
    known = ids(folder / ".consilience") | ids(machine.home / "data/consilience/soul")
    assert set(found["events"]) <= known
    shown = {name for row in soul["decisions"] for name in row["events"]}
    assert shown <= set(found["events"])
    text = shell("soul", "-p", "valley")[1]
    for expected in (soul["did"], last["event"][:10], "forked-trials-repeat", "then applied", "holds"):
        assert expected in text


def test_a_rerun_shows_whether_the_promotion_was_borne_out(shell: Shell) -> None:
    shell.machine.problem()
    assert shell("run", "valley", "--trials", "12", "-q")[0] == 0
    best = shell.data("soul", "-p", "valley")["soul"]["decisions"][-1]
    candidate = shell.data("show", "-p", "valley", best["about"])["trial"]["candidate"]
    assert shell("rerun", "-p", "valley", candidate)[0] == 0
    row = shell.data("soul", "-p", "valley")["soul"]["decisions"][-1]
    reruns = [each for each in row["aftermath"] if each["what"] == "rerun"]
    assert reruns
    assert {each["text"] for each in reruns} == {"equal"}


def test_without_a_study_the_identity_alone_is_shown(shell: Shell) -> None:
    code, _, err = shell("soul")
    assert code == EXIT_USAGE
    assert "consilience run" in err
    assert not (shell.machine.home / "data").exists(), "looking makes no key and no journal"
    shell.machine.problem()
    assert shell("run", "valley", "--trials", "6", "-q")[0] == 0
    (shell.machine.home / "empty").mkdir()
    found = shell.data("soul", "--state", "", "-p", ".")
    assert len(found["journals"]) == 2, "the only study below is read"


def test_an_unknown_did_is_an_error_that_names_who_is_here(shell: Shell) -> None:
    shell.machine.problem()
    assert shell("run", "valley", "--trials", "6", "-q")[0] == 0
    did = shell.data("soul", "-p", "valley")["soul"]["did"]
    code, _, err = shell("soul", "did:key:zQ3shNobody", "-p", "valley")
    assert code == EXIT_USAGE
    assert did in err
    assert shell.data("soul", did[:20], "-p", "valley")["soul"]["did"] == did


def test_a_soul_that_does_not_hold_says_so(shell: Shell) -> None:
    machine = shell.machine
    folder = machine.problem()
    assert shell("run", "valley", "--trials", "6", "-q")[0] == 0
    journal = folder / ".consilience/journal.db"
    data = journal.read_bytes()
    assert b'"reason":"budget"' in data
    journal.write_bytes(data.replace(b'"reason":"budget"', b'"reason":"failed"'))
    code, out, _ = shell("soul", "-p", "valley")
    assert code == EXIT_VERIFICATION
    assert "NOT VERIFIED" in out


def launch(shell: Shell, trials: int) -> dict[str, object]:
    code, out, err = shell("run", "valley", "--trials", str(trials), "--json")
    assert code == 0, err
    found: dict[str, object] = json.loads(out.splitlines()[0])
    assert found["type"] == "launch"
    return found


def test_a_doubted_evaluator_is_not_forked_until_the_doubt_is_withdrawn(shell: Shell) -> None:
    folder = shell.machine.problem(with_program=True)
    before = launch(shell, 20)
    assert before["isolation"]["execution"] == "fork"
    loaded = options.load(str(folder), options.Layout())
    settings = options.resolve_settings(loaded, {})
    with open_session(loaded, settings, options.places(), "") as session:
        evidence = [row.event for row in session.trials.verdicts.values() if row.body.verdict == "discarded"][:8]
        subject = evaluator_digest(loaded.problem)
        doubt = BeliefHeld(type="forked-trials-repeat", subject=subject, supports=(), contradicts=tuple(evidence))
        session.append(doubt)
        session.commit()
    during = launch(shell, 24)
    assert during["isolation"]["execution"] == "fresh"
    assert "did not repeat" in during["execution"]["reason"]
    code, _, err = shell("run", "valley", "--trials", "26")
    assert code == 0
    assert "trials run fresh" in err
    with open_session(loaded, settings, options.places(), "") as session:
        session.append(ResultExcised(target=evidence[0], reason="the machine was broken"))
        session.commit()
    after = launch(shell, 30)
    assert after["isolation"]["execution"] == "fork"
    assert after["execution"]["reason"] == ""
