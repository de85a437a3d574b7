"""The judge catches what it has to catch, and attacks are not run where they would do what they try."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consilience.core.artifact import Artifact
from consilience.core.errors import IsolationError, UsageError
from consilience.core.outcome import Failure, Isolation, Outcome
from consilience.core.ports import TrialRequest
from consilience.node.attack_parts import edit_findings, text_findings
from consilience.node.attacking import attack as try_attacks
from consilience.node.places import user_places
from consilience.trials.attacks.catalogue import CATALOGUE, choose_attacks
from consilience.trials.attacks.ground import Ground, open_ground
from consilience.trials.attacks.judge import Judge
from consilience.trials.attacks.model import HONEST_SCORE, Attack, Finding
from consilience.trials.attacks.suite import open_suite
from consilience.trials.attacks.survivors import gathering_orphans
from consilience.trials.attacks.targets import NUMERIC_HONEST, draw_secrets, make_targets
from consilience.trials.sandbox.probe import unsafe_sandbox
from consilience.trials.sandbox.proctree import children

ATTACK = Attack(number=1, name="any", tries="", stopped_by="", program="# attack")
HONEST = Outcome(metrics={"score": HONEST_SCORE}, isolation=Isolation(level="strong", domain="split"))


class Rigged:
    """An executor whose attacks do what a test says."""

    def __init__(self, attack: Callable[[Artifact], Outcome]) -> None:
        self._attack = attack

    @property
    def isolation(self) -> Isolation:
        return HONEST.isolation

    def run(self, request: TrialRequest) -> Outcome:
        return self._attack(request.artifact) if "# attack" in request.artifact.files[0].text else HONEST

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def ground() -> Iterator[Ground]:
    before = set(children(os.getpid()))
    with gathering_orphans(), open_ground() as made:
        yield made
    assert set(children(os.getpid())) <= before, "an orphan was not collected"


def findings(ground: Ground, act: Callable[[], object], outcome: Outcome = HONEST) -> set[str]:
    def attack(_: Artifact) -> Outcome:
        act()
        return outcome

    judge = Judge(Rigged(attack), ground, "score", "# honest", fresh=True)
    found = judge.attempt(ATTACK, ATTACK.program).findings
    assert judge.attempt(ATTACK, "# nothing").held, "what was found once is mended"
    return {finding.bar for finding in found}


def metrics(score: float) -> Outcome:
    return Outcome(metrics={"score": score}, isolation=HONEST.isolation)


def test_nothing_is_found_where_nothing_was_done(ground: Ground) -> None:
    assert findings(ground, lambda: None) == set()


@pytest.mark.parametrize("score", [HONEST_SCORE + 1e-9, 1.0, float("inf"), float("nan")])
def test_a_better_score_is_found(ground: Ground, score: float) -> None:
    assert findings(ground, lambda: None, metrics(score)) == {"score"}


def test_a_score_below_is_no_gain(ground: Ground) -> None:
    assert findings(ground, lambda: None, metrics(0.0)) == set()


@pytest.mark.parametrize("name", ["secret", "another"])
def test_a_file_changed_outside_is_found(ground: Ground, name: str) -> None:
    place = Path(ground.places()["outside"]) / name
    assert findings(ground, lambda: place.write_text("x")) == {"outside"}


@pytest.mark.parametrize("kind", ["tcp", "udp", "socket", "abstract"])
def test_a_connection_is_found(ground: Ground, kind: str) -> None:
    address = ground.places()[kind]

    def connect() -> None:
        family = socket.AF_INET if kind in {"tcp", "udp"} else socket.AF_UNIX
        with socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as made:
            made.connect(("127.0.0.1", address) if family == socket.AF_INET else "\0" * (kind == "abstract") + address)
            made.send(b"x")

    assert findings(ground, connect) == {"outside"}


@pytest.mark.parametrize(
    "act",
    [
        lambda pid: os.kill(pid, signal.SIGKILL),
        lambda pid: os.kill(pid, signal.SIGSTOP),
        lambda pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, 8)),
        lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19),
    ],
    ids=["kill", "stop", "limit", "priority"],
)
def test_a_process_that_was_reached_is_found(ground: Ground, act: Callable[[int], object]) -> None:
    victim = ground.victim

    def reach() -> None:
        act(victim)
        if act.__code__.co_names[-1] in {"SIGKILL", "SIGSTOP"}:
            os.waitid(os.P_PID, victim, os.WEXITED | os.WSTOPPED | os.WNOWAIT)

    assert findings(ground, reach) == {"outside"}


def test_a_secret_that_was_read_is_found(ground: Ground) -> None:
    told = Outcome(log=Path(ground.places()["file"]).read_text(), isolation=HONEST.isolation)
    assert findings(ground, lambda: None, told) == {"outside"}
    environ = Path(f"/proc/{ground.victim}/environ").read_text()
    told = Outcome(failure=Failure(reason="crash", message=environ), isolation=HONEST.isolation)
    assert findings(ground, lambda: None, told) == {"outside"}


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "work", "cwd"])
def test_a_file_left_behind_is_found_and_removed(ground: Ground, place: str) -> None:
    ground.work.joinpath("evaluator").mkdir()
    folder = {"work": ground.work / "evaluator", "cwd": Path.cwd()}.get(place, Path(place))
    left = folder / f"some-{ground.mark}.py"
    assert findings(ground, left.touch) == {"left"}
    assert not left.exists()


def test_a_trials_folder_left_behind_is_found(ground: Ground) -> None:
    assert findings(ground, lambda: (ground.work / "trial-1" / "deep").mkdir(parents=True)) == {"left"}


def test_a_daemon_is_found_and_killed(ground: Ground) -> None:
    daemon = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(60)\n"
    command = [sys.executable, "-I", "-S", "-c", daemon]
    assert findings(ground, lambda: subprocess.run(command, check=True)) == {"left"}


def test_a_control_that_is_off_is_found(ground: Ground) -> None:
    class Broken(Rigged):
        def run(self, request: TrialRequest) -> Outcome:
            return metrics(0.25)

    verdict = Judge(Broken(lambda _: HONEST), ground, "score", "# honest", fresh=True).attempt(ATTACK, "# attack")
    assert verdict.findings == (Finding("control", "the honest control scored 0.25, not 0.5"),)


def test_an_accomplice_is_judged_as_well(ground: Ground) -> None:
    found = [metrics(0.0), metrics(1.0)]
    judge = Judge(Rigged(lambda _: found.pop(0)), ground, "score", "# honest", fresh=True)
    pair = Attack(number=1, name="pair", tries="", stopped_by="", program="", accomplice="# attack 2")
    verdict = judge.attempt(pair, "# attack 1")
    assert [finding.bar for finding in verdict.findings] == ["score"]
    assert verdict.score == 0.0


def test_nothing_is_attacked_without_a_sandbox() -> None:
    with pytest.raises(IsolationError, match="proved sandbox"), open_suite(unsafe_sandbox(sys.executable)):
        pass
    with pytest.raises(UsageError, match="never run"):
        try_attacks([], "both", "none", user_places(), str, lambda _: None)


def test_attacks_are_chosen_by_number() -> None:
    assert choose_attacks([]) == CATALOGUE
    assert [attack.number for attack in choose_attacks([31, 5])] == [5, 31]
    with pytest.raises(UsageError, match="no attack 39, 1000"):
        choose_attacks([1000, 39, 1])


def test_secrets_are_drawn_anew_and_honest_programs_do_not_hold_them() -> None:
    first, second = draw_secrets(), draw_secrets()
    assert first.number != second.number
    assert sorted(first.labels) == sorted(second.labels)
    assert repr(first.number) not in make_targets(first)["secret"].honest


def test_the_checks_of_other_parts_can_fail() -> None:
    assert list(edit_findings(NUMERIC_HONEST + "\ny = 2\n")) == ["a trivial edit passes as another candidate"]
    assert list(text_findings("x", lambda text: text)) == ["text reaches the reader with control characters"]
    assert list(text_findings("x", lambda _: "")) == ["plain text is changed"]
