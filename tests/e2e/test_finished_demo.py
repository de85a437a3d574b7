"""A finished demo: `why` tells the whole chain behind its best score, and every event of it can be proved."""

from pathlib import Path
from typing import Any

from conftest import Shell

TRIALS = 40


def finished(shell: Shell) -> Path:
    folder = shell.machine.home / "demo"
    shell.data("init", folder, "--from", "circle-packing")
    code, _, err = shell("run", folder, "--trials", str(TRIALS), "-q", "--json")
    assert code == 0, err
    return folder


def line_of(known: dict[str, Any], name: str) -> list[Any]:
    """Return a candidate and its first parents, back to the baseline."""
    found = [known[name]]
    while found[-1]["body"]["parents"]:
        found.append(known[found[-1]["body"]["parents"][0]])
    return found


def about(chain: list[Any], kind: str, field: str, name: str) -> list[Any]:
    return [event for event in chain if event["kind"] == kind and event["body"][field] == name]


def test_the_best_score_is_explained_and_every_event_behind_it_is_proved(shell: Shell) -> None:
    folder = finished(shell)
    known = {event["id"]: event for event in shell.data("log", "-p", folder)}
    rows = next(iter(shell.data("board", "-p", folder)["rankings"].values()))
    best = max((row for row in rows if row["verdict"] == "promoted"), key=lambda row: row["mean"])
    report = shell.data("why", "best", "-p", folder)
    chain = [known[name] for name in report["events"]]
    assert report["value"] == best["mean"]

    line = line_of(known, best["events"][0])
    assert len(line) > 1
    assert known[best["events"][-1]]["body"]["verdict"] == "promoted"
    assert line[-1]["body"]["hypothesis"]["operator"] == "baseline"
    for candidate in line:
        assert candidate in chain
        assert candidate["body"]["hypothesis"]["reason"] or candidate is line[-1], "each with its hypothesis"
        starts = about(chain, "trial.started", "proposed", candidate["id"])
        assert starts, "each with its trials"
        assert all(isinstance(start["body"]["seed"], int) for start in starts)
        for start in starts:
            assert about(chain, "trial.finished", "started", start["id"]), "and what came of them"
        verdicts = about(chain, "verdict.reached", "candidate", candidate["id"])
        assert len(verdicts) == (candidate is not line[-1]), "each but the baseline with its verdict"

    proofs = shell.machine.home / "proofs"
    proofs.mkdir()
    for place, event in enumerate(chain):
        path = proofs / f"{place}.json"
        code, _, err = shell("prove", event["id"], "-p", folder, "--out", path)
        assert code == 0, err
        told = shell.data("verify-proof", path)
        assert (told["event"], told["kind"]) == (event["id"], event["kind"])
