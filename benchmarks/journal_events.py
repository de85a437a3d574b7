"""Synthetic journals for the benchmarks: valid, signed, as a study writes them, the same for one seed.

One candidate is four events: proposed, one trial started and finished, a verdict. Every few hundredth is promoted, so
that parents change. Scores fall slowly; artifacts are small blobs of their own, logs are absent. `StudyReader` opens
what is built here, and `consilience verify` finds that it holds.

Data flow: seed -> bodies -> `Journal.append` -> groups of GROUP events.
"""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from coincurve import PrivateKey
from msgspec import Struct

from consilience.core.artifact import Artifact, ArtifactFile, artifact_bytes
from consilience.core.bodies import (
    CandidateProposed,
    HiveFounded,
    NoiseMeasured,
    RunStarted,
    StudyConfigured,
    TrialFinished,
    TrialPurpose,
    TrialStarted,
    VerdictName,
    VerdictReached,
)
from consilience.core.canonical import canonical_bytes, sha256_hex
from consilience.core.hypothesis import Hypothesis, Prediction
from consilience.core.outcome import Isolation, Resources
from consilience.core.problem import EvaluatorSpec, FileDigest, Objective, Problem, Surface, SurfaceFile, problem_id
from consilience.core.study import Budget, Policy, Spend, StudySettings
from consilience.identity.keys import Identity
from consilience.journal.journal import Journal
from consilience.journal.store import Durability
from consilience.testing.clocks import ManualClock

GROUP = 256  # events that are made durable together
HEAD_EVENTS = 3 + 1 + 2 * 5 + 1  # founding, configuration, run; the baseline with five trials; its noise
PROMOTED_EVERY = 250
EVALUATOR = b"def evaluate(candidate, seed):\n    return {'loss': candidate.call('run', seed)}\n"
ENVIRONMENT = b'{"machine":"x86_64","packages":["msgspec==0.22.0"]}'
KEY = sha256_hex(b"comparability key of the benchmark")
PROBLEM = Problem(
    name="synthetic",
    goal="A study for benchmarks of the journal.",
    objective=Objective(metric="loss", direction="minimize"),
    surface=Surface(files=(SurfaceFile(path="program.py", region="whole"),)),
    evaluator=EvaluatorSpec(kind="function", files=(FileDigest(path="evaluator.py", sha256=sha256_hex(EVALUATOR)),)),
)
POLICY = Policy()
ISOLATION = Isolation(level="strong", domain="split", execution="fork")
RESERVED = Spend(trials=1, wall_ms=60_000, cpu_ms=60_000)


class Built(Struct, frozen=True, kw_only=True):
    """A journal that was built: its state folder, its only hive, its author and where its marks are."""

    folder: Path
    hive: str
    identity: Identity
    marks: Path


def identity_of(seed: int) -> Identity:
    """Return the author of the journal that is built from a seed."""
    return Identity(PrivateKey(hashlib.sha256(b"benchmark %d" % seed).digest()))


def build_journal(folder: Path, events: int, seed: int = 0, *, durability: Durability = "full") -> Built:
    """Write a valid signed journal of exactly `events` events (at least HEAD_EVENTS) into a new state folder."""
    identity, marks = identity_of(seed), folder / "marks"
    hive = hashlib.sha256(b"hive %d" % seed).hexdigest()[:32]
    journal = Journal.create(folder, identity, ManualClock(1_700_000_000_000, 7), durability)
    journal.enter(hive, marks)
    study = StudyWriter(journal, identity.did, seed)
    study.found()
    study.grow(events - HEAD_EVENTS)
    journal.close()
    return Built(folder=folder, hive=hive, identity=identity, marks=marks)


class StudyWriter:
    """Appends a study's events to a journal that was entered; the bodies depend on the seed alone."""

    def __init__(self, journal: Journal, did: str, seed: int) -> None:
        self._journal = journal
        self._did = did
        self._random = random.Random(seed)
        self._trials = 0
        self._candidates = 0
        self._parent = ""
        self._parent_trial = ""
        self._loss = 1.0
        self._step = 0
        self._last = ""
        self._open = ("", 0.0)

    def found(self) -> None:
        """Append the HEAD_EVENTS: founding, configuration, run, baseline, noise."""
        journal = self._journal
        journal.put(EVALUATOR)
        specification = journal.put(canonical_bytes(PROBLEM))
        journal.append(self._genesis(specification))
        settings = StudySettings(budget=Budget(trials=10_000_000), seed=1)
        study = journal.append(StudyConfigured(version=1, settings=settings))
        environment = journal.put(ENVIRONMENT)
        journal.append(self._run(study.id, environment))
        self._parent = self._propose(operator="baseline", novelty=None)
        trials = tuple(self._trial(self._parent, self._loss, "baseline") for _ in range(5))
        self._parent_trial = trials[0]
        noise = NoiseMeasured(trials=trials, mean=self._loss, deviation=0.0013, degrees=4, deterministic=False)
        journal.append(noise)
        journal.commit()

    def grow(self, count: int, *, group: int = GROUP) -> None:
        """Append `count` more events and make each `group` of them durable; a later call goes on from there."""
        for done in range(1, count + 1):
            self.step()
            if done % group == 0:
                self._journal.commit()
        self._journal.commit()

    def step(self) -> None:
        """Append the next event of the endless study, in the open group."""
        phase, self._step = self._step % 4, self._step + 1
        if phase == 0:
            self._last = self._propose(operator="constant-drift", novelty=self._random.random())
            change = -0.005 if self._candidates % PROMOTED_EVERY == 0 else 0.1 * self._random.random()
            self._open = (self._last, self._loss * (1.0 + change))
        elif phase == 1:
            self._last = self._start(self._open[0], "screen")
        elif phase == 2:
            self._last = self._finish(self._last, self._open[1])
        else:
            self._judge(*self._open, self._last)

    def _genesis(self, specification: str) -> HiveFounded:
        return HiveFounded(
            problem=problem_id(PROBLEM),
            specification=specification,
            policy=POLICY,
            roles={"owner": (self._did,)},
            supply="0",
            witnesses=(self._did,),
            auditors=(self._did,),
        )

    def _run(self, study: str, environment: str) -> RunStarted:
        return RunStarted(
            study=study,
            comparability_key=KEY,
            environment=environment,
            environment_blob=environment,
            isolation=ISOLATION,
            workers=1,
            software="0.1.0",
        )

    def _propose(self, *, operator: str, novelty: float | None) -> str:
        number, drift = self._candidates, self._random.random()
        self._candidates += 1
        text = f"# candidate {number}\nSTEP = {drift!r}\n\n\ndef run(seed):\n    return STEP * (seed % 7)\n"
        artifact = Artifact(files=(ArtifactFile("program.py", text),))
        name = self._journal.put(artifact_bytes(artifact))
        body = CandidateProposed(
            candidate=name,
            parents=(self._parent,) if self._parent else (),
            hypothesis=Hypothesis(
                operator=operator,
                target="program.py: STEP",
                change=f"STEP becomes {drift!r}",
                reason="small steps found gains before",
                predicted=Prediction(score=self._loss * 0.99, deviation=0.01),
            ),
            phase="explore",
            normal_form=sha256_hex(name.encode()),
            novelty=novelty,
            repeats=0,
            space="",
            coordinates=(drift, self._random.gauss(0.0, 1.0)) if novelty is not None else (),
        )
        return self._journal.append(body).id

    def _trial(self, proposed: str, loss: float, purpose: TrialPurpose) -> str:
        return self._finish(self._start(proposed, purpose), loss)

    def _start(self, proposed: str, purpose: TrialPurpose) -> str:
        seed = self._random.getrandbits(31)
        started = TrialStarted(number=self._trials, proposed=proposed, seed=seed, purpose=purpose, reserved=RESERVED)
        self._trials += 1
        return self._journal.append(started).id

    def _finish(self, started: str, loss: float) -> str:
        wall = self._random.randrange(20, 90)
        body = TrialFinished(
            started=started,
            metrics={"loss": loss + self._random.gauss(0.0, 0.0013), "size": float(self._random.randrange(100))},
            failure=None,
            resources=Resources(wall_ms=wall, cpu_ms=wall + 9, memory_kb=10_000 + wall),
            spent=Spend(trials=1, wall_ms=wall + 3, cpu_ms=wall + 9),
            isolation=ISOLATION,
            comparability_key=KEY,
            environment=sha256_hex(ENVIRONMENT),
            log="",
            feedback="",
        )
        return self._journal.append(body).id

    def _judge(self, candidate: str, loss: float, trial: str) -> None:
        promoted = self._candidates % PROMOTED_EVERY == 0
        verdict: VerdictName = "promoted" if promoted else "discarded"
        gain = self._loss - loss
        body = VerdictReached(
            candidate=candidate,
            incumbent=self._parent,
            verdict=verdict,
            reasons=(f"mean gain {gain:.4g} over 1 paired seed, floor 0.0013",),
            figures={"gain": gain, "floor": 0.0013, "pairs": 1.0, "mean": loss, "incumbent_mean": self._loss},
            trials=(self._parent_trial, trial),
        )
        self._journal.append(body)
        if promoted:
            self._parent, self._parent_trial = candidate, trial
            self._loss = loss
