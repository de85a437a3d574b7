"""`why` and `excise` as a user types them, and the ids of events behind whatever a command shows."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import EVALUATOR, Shell
from msgspec import structs
from study_dumps import folded, views

from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.interfaces.cli import options
from consilience.interfaces.cli.main import COMMANDS, main
from consilience.node.reading import StudyReader
from consilience.node.upkeep import open_session

SHOWS_NO_VIEW = {
    "init": "makes a folder",
    "config": "settings, not events",
    "doctor": "the machine",
    "attack": "the machine's sandbox",
    "verify": "the journal itself, all of it",
    "import": "what a file held; `board` shows the records",
    "cancel": "a process",
    "backup": "a file",
    "gc": "blobs that no event names",
    "export": "a file, whose rows name their events",
    "anew": "sets a journal aside",
    "compact": "a file",
    "retain": "erases texts; `log` has the tombstone",
    "checkpoint": "the head of the tree over all events",
    "witness": "another's checkpoint",
    "prove": "one event, which is named on the command line",
    "verify-proof": "a file",
    "trial": "ad-hoc trials are no events; its `holdout` names one (test_holdout_queries)",
}
ID = re.compile(r"[0-9a-f]{64}")
KEYS_OF_IDS = ("event", "events", "behind", "id", "proposed", "excision", "target")
CHEAT = EVALUATOR.replace('"depth": (', '"depth": 0.001 if 0 < x < 2.5 else (').replace("}", ', "size": abs(x)}')


def study(shell: Shell, evaluator: str = EVALUATOR, trials: int = 24) -> str:
    folder = shell.machine.problem(evaluator=evaluator)
    code, _, err = shell("run", folder, "--trials", str(trials), "-q", "--json")
    assert code == 0, err
    return str(folder)


def events(shell: Shell, folder: str) -> dict[str, Any]:
    return {event["id"]: event for event in shell.data("log", "-p", folder)}


def ids(value: Any) -> Iterator[str]:
    """Yield the ids under keys that name events, at any depth."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in KEYS_OF_IDS or key.endswith("_event"):
                yield from ID.findall(json.dumps(item))
            else:
                yield from ids(item)
    elif isinstance(value, list):
        for item in value:
            yield from ids(item)


def bare(value: Any, path: str = "", *, named: bool = False) -> Iterator[str]:
    """Yield the places of numbers beside which, and above which, no event is named."""
    if isinstance(value, dict):
        named = named or any(
            (key in KEYS_OF_IDS or key.endswith("_event")) and ID.search(json.dumps(item))
            for key, item in value.items()
        )
        for key, item in value.items():
            yield from bare(item, f"{path}.{key}", named=named)
    elif isinstance(value, list):
        for item in value:
            yield from bare(item, f"{path}[]", named=named)
    elif isinstance(value, int | float) and not isinstance(value, bool) and not named:
        yield path


def promoted(shell: Shell, folder: str) -> list[dict[str, Any]]:
    rows = next(iter(shell.data("board", "-p", folder)["rankings"].values()))
    return [row for row in sorted(rows, key=lambda row: row["trial"]) if row["verdict"] == "promoted"]


def test_every_command_that_shows_a_view_names_the_events_behind_it(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = study(shell)
    trial = str(promoted(shell, folder)[0]["trial"])
    asked = {
        "run": ("run", folder, "--trials", "25", "-q"),
        "board": ("board", "-p", folder),
        "show": ("show", trial, "-p", folder),
        "log": ("log", "-p", folder),
        "diff": ("diff", trial, "-p", folder),
        "replay": ("replay", "-p", folder),
        "rerun": ("rerun", trial, "-p", folder),
        "why": ("why", "best", "-p", folder),
        "excise": ("excise", trial, "-p", folder, "--reason", "a test", "--dry-run"),
        "apply": ("apply", "-p", folder),
        "soul": ("soul", "-p", folder),
        "id": ("id", "show"),
    }
    assert asked.keys() | SHOWS_NO_VIEW.keys() == set(COMMANDS), "say of each command whether it shows a view"
    for name, arguments in asked.items():
        capsys.readouterr()
        assert main([*arguments, "--json"]) == 0, name
        shown = json.loads(capsys.readouterr().out.splitlines()[-1])
        found = set(ids(shown))
        assert found, name
        assert found <= events(shell, folder).keys(), name
        data = shown.get("data", {**shown, "v": "", "exit_code": ""})  # a run tells line by line
        assert not list(bare(data)), name


def test_every_figure_of_board_summary_and_trial_has_its_events(shell: Shell) -> None:
    folder = study(shell)
    known = events(shell, folder)
    board = shell.data("board", "-p", folder)
    for row in (row for rows in board["rankings"].values() for row in rows):
        kinds = [known[event]["kind"] for event in row["events"]]
        assert kinds[0] == "candidate.proposed"
        assert kinds.count("trial.finished") == row["runs"] + row["failures"]
        assert (kinds[-1] == "verdict.reached") == (row["verdict"] != "baseline")
    assert [known[event]["kind"] for event in board["behind"]["bound"]] == ["study.configured", "noise.measured"]
    summary = shell.data("replay", "-p", folder)["summary"]
    assert summary["behind"].keys() >= {"problem", "baseline", "best", "gain", "noise_floor", "trials", "verdicts"}
    spent = [known[event] for event in summary["behind"]["trials"] if known[event]["kind"] == "trial.finished"]
    assert sum(event["body"]["spent"]["wall_ms"] for event in spent) == summary["wall_ms"]
    report = shell.data("show", str(promoted(shell, folder)[0]["trial"]), "-p", folder)
    assert report["behind"].keys() >= {"trial", "others", "verdict", "line", "settings"}


def test_why_best_tells_the_whole_chain(shell: Shell) -> None:
    folder = study(shell)
    known = events(shell, folder)
    report = shell.data("why", "best", "-p", folder)
    chain = [known[event] for event in report["events"]]
    kinds = {event["kind"] for event in chain}
    assert kinds >= {
        *("hive.founded", "study.configured", "run.started", "noise.measured", "candidate.proposed"),
        *("trial.started", "trial.finished", "verdict.reached"),
    }
    ids_of_chain = {event["id"] for event in chain}
    best = promoted(shell, folder)[-1]
    assert set(best["events"]) <= ids_of_chain
    candidate = known[best["events"][0]]
    while candidate["body"]["parents"]:
        candidate = known[candidate["body"]["parents"][0]]
        assert candidate["id"] in ids_of_chain, "each parent, back to the baseline"
    assert candidate["body"]["hypothesis"]["operator"] == "baseline"
    baseline = [e for e in known.values() if e["kind"] == "trial.started" and e["body"]["proposed"] == candidate["id"]]
    assert {event["id"] for event in baseline} <= ids_of_chain, "the baseline's seeds"
    assert set(ids(report["tree"])) == ids_of_chain, "all of it is told"
    _, text, _ = shell("why", "depth", "-p", folder)
    for word in ("hive founded", "noise floor over 5", "seed", "verdict promoted", "because", best["events"][0][:10]):
        assert word in text
    assert text.startswith("depth ")


def test_why_answers_and_says_what_cannot_be_asked(shell: Shell) -> None:
    folder = study(shell, trials=12)
    for name in ("noise", "budget", "gain", "baseline", "score", "0", "7"):
        report = shell.data("why", name, "-p", folder)
        assert report["events"], name
        assert report["answer"], name
        assert set(ids(report["tree"])) == set(report["events"]), name
    assert shell.data("why", "budget", "-p", folder)["value"] == 12
    for name, says in (("balance", "no ledger"), ("mode", "no homeostasis"), ("nonsense", "no trial")):
        code, out, err = shell("why", name, "-p", folder)
        assert (code, out) == (2, "")
        assert says in err
        assert "noise, budget" in err


def test_a_cheat_is_excised_and_the_study_goes_on(shell: Shell) -> None:
    folder = study(shell, CHEAT, trials=30)
    rows = promoted(shell, folder)
    cheat = next(row for row in rows if row["mean"] == 0.001)
    name = str(cheat["trial"])
    before = (Path(folder) / ".consilience" / "journal.db").read_bytes()
    count = len(events(shell, folder))
    preview = shell.data("excise", name, "-p", folder, "--reason", "it is too good", "--dry-run")
    assert (Path(folder) / ".consilience" / "journal.db").read_bytes() == before
    assert len(events(shell, folder)) == count
    assert preview["event"] == ""

    done = shell.data("excise", name, "-p", folder, "--reason", "it is too good")
    assert [kind["events"] for kind in done["changed"]] == [kind["events"] for kind in preview["changed"]]
    gone = {event for kind in done["changed"] for event in kind["events"]}
    assert cheat["candidate"] not in json.dumps(done["after"]["rankings"])
    assert done["after"]["rankings"] == shell.data("board", "-p", folder)["rankings"] == preview["after"]["rankings"]
    assert {row["trial"] for row in done["after"]["excised"]} >= {cheat["trial"]}
    marked = {event["id"] for event in events(shell, folder).values() if "excised" in event}
    assert marked == gone
    assert "EXCISED" in shell("show", name, "-p", folder)[1]
    assert "EXCISED by" in shell("log", "-p", folder)[1]
    assert "EXCISED, not counted" in shell("board", "-p", folder)[1]
    code, _, err = shell("apply", name, "-p", folder)
    assert code == 1
    assert "was excised: it is too good" in err

    assert shell("run", folder, "--trials", "45", "-q", "--json")[0] == 0
    after = events(shell, folder)
    numbers = [event["body"]["number"] for event in after.values() if event["kind"] == "trial.started"]
    assert numbers == list(range(45)), "what was excised stays spent, and its numbers are not used again"
    made = [event["body"]["normal_form"] for event in after.values() if event["kind"] == "candidate.proposed"]
    assert len(made) == len(set(made)), "its like is not proposed again"
    assert shell("verify", "-p", folder)[0] == 0

    back = shell.data("excise", "--withdraw", done["event"][:12], "-p", folder, "--reason", "it was honest")
    assert back["returns"]
    assert {event for kind in back["changed"] for event in kind["events"]} == gone
    assert cheat["candidate"] in json.dumps(back["after"]["rankings"])
    assert not back["after"]["excised"]
    assert shell("excise", "--withdraw", done["event"][:12], "-p", folder, "--reason", "again")[0] == 1


def test_one_trial_of_the_baseline_is_measured_again(shell: Shell) -> None:
    folder = study(shell, trials=12)
    done = shell.data("excise", "2", "-p", folder, "--reason", "the machine was busy")
    kinds = {kind["kind"] for kind in done["changed"]}
    assert kinds >= {"trial.started", "trial.finished", "noise.measured"}
    assert "candidate.proposed" not in kinds
    assert shell("run", folder, "--trials", "20", "-q", "--json")[0] == 0
    known = events(shell, folder)
    assert sum(event["kind"] == "noise.measured" for event in known.values()) == 2
    seeds = [
        e["body"]["seed"] for e in known.values() if e["kind"] == "trial.started" and e["body"]["number"] in (2, 12)
    ]
    assert seeds[0] == seeds[1]


REFUSED = (
    (("5", "--reason", ""), 2, "needs a reason"),
    (("999", "--reason", "x"), 2, "nothing is called '999'"),
    (("--reason", "x"), 2, "give either EVENT or --withdraw"),
    (("5", "--withdraw", "abcd", "--reason", "x"), 2, "give either EVENT or --withdraw"),
    (("--withdraw", "abcd", "--reason", "x"), 2, "no excision 'abcd'"),
)


def test_what_is_refused(shell: Shell) -> None:
    folder = study(shell, trials=8)
    count = len(events(shell, folder))
    for arguments, code, says in REFUSED:
        found, _, err = shell("excise", *arguments, "-p", folder)
        assert found == code, says
        assert says in err
    assert len(events(shell, folder)) == count


def test_an_open_session_folds_again(shell: Shell) -> None:
    folder = Path(study(shell, trials=14))
    with StudyReader.open(folder / ".consilience") as reader:
        loaded = structs.replace(options.load(str(folder), options.Layout()), problem=reader.problem)
    settings = options.resolve_settings(loaded, {})
    with open_session(loaded, settings, options.places(), "") as session:
        target = session.state.promoted[0].event
        incumbent = session.state.incumbent
        done = session.append(ResultExcised(target=target, reason="a test"))
        session.commit()
        assert session.state.incumbent is not incumbent
        assert views(session.state, session.run_state, session.trials) == folded(folder / ".consilience")
        session.append(ExcisionWithdrawn(excision=done.id, reason="a test"))
        session.commit()
        assert session.state.incumbent == incumbent
        assert views(session.state, session.run_state, session.trials) == folded(folder / ".consilience")


def test_settings_keys_and_results_of_others_are_refused(shell: Shell, tmp_path: Path) -> None:
    folder = study(shell, trials=8)
    known = events(shell, folder)
    for kind in ("hive.founded", "study.configured", "run.started", "run.ended"):
        event = next(event for event in known.values() if event["kind"] == kind)
        code, _, err = shell("excise", event["id"][:16], "-p", folder, "--reason", "x")
        assert code == 1
        assert "only results can be excised" in err
    other = tmp_path / "other.json"
    assert shell("config", "--json")[0] == 0
    code, _, err = shell("excise", "6", "-p", folder, "--reason", "x", "--key", other)
    assert code == 1
    assert "only its author and members of these roles may: owner" in err
    assert not other.exists(), "a refusal makes no key"
    assert len(events(shell, folder)) == len(known)
