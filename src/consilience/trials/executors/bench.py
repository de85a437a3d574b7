"""The candidate of one trial and, where its evaluator asks for it, a reference beside it: for timing one by the other.

Rules:
    1. A reference is the evaluator's own code. It is held as the candidate is: the same sandbox, interpreter, limits
       and seed, a process of its own.
    2. Once there is a reference, candidate and reference are both started fresh: a warm process forks one child at
       a time, and what is compared must have come to be in one way.
    3. Where there is a reference, each is held still outside its turn: nothing is computed ahead, and neither takes
       the CPU from the other.
    4. What a reference does wrong is the evaluator's fault, never the candidate's.

Data flow: evaluator's {reference} -> `add_reference` -> CandidateProcess -> calls, relayed as the candidate's are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.outcome import Failure
from consilience.core.ports import TrialRequest
from consilience.trials.executors import folders
from consilience.trials.executors.candidate_process import CandidateProcess, Reply
from consilience.trials.executors.candidate_start import FreshStarter
from consilience.trials.executors.classify import capped
from consilience.trials.executors.interpreters import Interpreter
from consilience.trials.executors.pipes import Pump
from consilience.trials.sandbox.confinement import Exit, Sandbox

MOST_REFERENCES = 8  # each is a process; one or two are what a comparison needs
_FILE = "reference.py"


class Alone(msgspec.Struct, frozen=True):
    """Where and how fresh processes are started."""

    sandbox: Sandbox
    interpreter: Interpreter
    work_dir: Path


class ReferenceProcess(CandidateProcess):
    """The evaluator's own code, held as a candidate is."""

    def call(self, message: Any, pump: Pump, deadline: float) -> Reply | Failure:
        """Pass one call in and its answer out."""
        reply = super().call(message, pump, deadline)
        return blamed(reply) if isinstance(reply, Failure) else reply

    def disturbance(self, pump: Pump) -> Failure:
        """Say what it did out of turn."""
        return blamed(super().disturbance(pump))


class Bench:
    """All that the evaluator of one trial can call."""

    def __init__(self, candidate: CandidateProcess, request: TrialRequest, alone: Alone) -> None:
        self._request = request
        self._alone = alone
        self._called = [candidate]
        self._folders: list[Path] = []

    @property
    def compares(self) -> bool:
        """Tell whether there is a reference, and so whether the candidate was started fresh."""
        return len(self._called) > 1

    @property
    def names(self) -> dict[str, str]:
        """The folders of fresh processes, and what stands for them in texts."""
        return {str(folder): name for folder, name in zip(self._folders, self._names(), strict=False)}

    def called(self, number: int) -> CandidateProcess | Failure:
        """Return the candidate (0) or a reference."""
        if 0 <= number < len(self._called):
            return self._called[number]
        return Failure(reason="invalid_output", message="the evaluator called a reference that it has not named")

    def add_reference(self, source: str) -> Failure | int:
        """Prepare a process for the evaluator's source and return its number, or say why that cannot be."""
        if not self.compares and self._called[0].started:
            message = "candidate.reference comes before the first candidate.call: both are started fresh"
            return Failure(reason="evaluator_error", message=message)
        if len(self._called) > MOST_REFERENCES:
            return Failure(reason="evaluator_error", message=f"more than {MOST_REFERENCES} references in one trial")
        if not self.compares:
            self._called = [CandidateProcess(self._starter(), self._request, held=True)]
        own = msgspec.structs.replace(self._request, artifact=Artifact(files=(ArtifactFile(_FILE, source),)))
        self._called.append(ReferenceProcess(self._starter(), own, held=True))
        return len(self._called) - 1

    def disturbed(self) -> bool:
        """Tell whether one of them acts out of turn."""
        return any(process.disturbed() for process in self._called)

    def disturbance(self, pump: Pump) -> Failure:
        """Say what it did."""
        return next(process for process in self._called if process.disturbed()).disturbance(pump)

    def end(self, pump: Pump) -> Exit | None:
        """End them all, and return how the candidate ended with what they all used; None when none ever ran."""
        exits = [exit_ for process in self._called if (exit_ := process.end(pump))]
        for folder in self._folders:
            folders.remove(folder)
        if not exits:
            return None
        cpu_ms, memory_kb = sum(exit_.cpu_ms for exit_ in exits), max(exit_.memory_kb for exit_ in exits)
        return msgspec.structs.replace(exits[0], cpu_ms=cpu_ms, memory_kb=memory_kb)

    def spoke_unasked(self) -> bool:
        """Tell, after the end, whether the candidate left bytes on its channel."""
        return self._called[0].spoke_unasked()

    def logs(self) -> dict[str, str]:
        """Return the tails of what they printed."""
        return {name: process.log() for name, process in zip(self._names(), self._called, strict=False)}

    def _names(self) -> list[str]:
        return ["candidate", "reference", *(f"reference {n}" for n in range(2, len(self._called)))][: len(self._called)]

    def _starter(self) -> FreshStarter:
        folder = folders.make_folder(self._alone.work_dir, "trial-")
        self._folders.append(folder)
        return FreshStarter(self._alone.sandbox, self._alone.interpreter, folder)


def blamed(failure: Failure) -> Failure:
    """Return a reference's failure as the evaluator's."""
    text = failure.message.replace("the candidate", "the reference")
    if failure.reason == "timeout":
        return Failure(reason="evaluator_timeout", message=text)
    return Failure(reason="evaluator_error", message=capped(f"the reference failed ({failure.reason}): {text}"))
