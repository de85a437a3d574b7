"""A small study in a journal, written event by event, with texts of chosen ages."""

from pathlib import Path
from typing import Any

from consilience.core.artifact import Artifact, ArtifactFile, artifact_bytes, artifact_id
from consilience.core.bodies import HiveFounded, StudyConfigured, TrialFinished, TrialStarted
from consilience.core.canonical import canonical_bytes, sha256_hex
from consilience.core.outcome import Isolation, Resources
from consilience.core.problem import EvaluatorSpec, FileDigest, Objective, Problem, Surface, problem_id
from consilience.core.study import Budget, Policy, Spend, StudySettings
from consilience.identity.keys import Identity
from consilience.journal.journal import Journal
from consilience.node.places import UserPlaces
from consilience.node.retention import DAY_MS
from consilience.testing.candidates import plain_candidate

NOW = 1_800_000_000_000
EVALUATOR = b"def evaluate(candidate, seed):\n    return {'m': 1.0}\n"
PROBLEM = Problem(
    name="kept",
    goal="",
    objective=Objective(metric="m", direction="minimize"),
    surface=Surface(),
    evaluator=EvaluatorSpec(kind="function", files=(FileDigest(path="evaluator.py", sha256=sha256_hex(EVALUATOR)),)),
)
ARTIFACT = Artifact(files=(ArtifactFile("a.py", "x = 1\n"),))


class SetClock:
    """A clock that shows what it was set to."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def now_ms(self) -> int:
        return self.now

    def elapsed_ms(self) -> int:
        return self.now


def places_in(folder: Path) -> UserPlaces:
    return UserPlaces(key=folder / "key.json", marks=folder / "marks", settings=folder / "c.toml", cache=folder / "k")


class KeptStudy:
    """Writes one study; each trial's log is as old as asked."""

    def __init__(self, folder: Path, owner: Identity, policy: Policy | None = None, *, owned: bool = True) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.owner = owner
        self.clock = SetClock(NOW - 1000 * DAY_MS)
        self.places = places_in(folder)
        self.hive = "ab" * 16
        self.count = 0
        self.environment = ""
        self.proposed = ""
        with self.writing(owner) as journal:
            self._found(journal, policy or Policy(), (owner.did,) if owned else ())

    def writing(self, who: Identity) -> "Writing":
        return Writing(self, who)

    def trial(self, log: bytes, days: float, who: Identity | None = None, name: str = "") -> TrialFinished:
        """Record a trial whose log is so many days old; `name` stands for a log that is kept under another name."""
        self.clock.now = NOW - round(days * DAY_MS)
        with self.writing(who or self.owner) as journal:
            started = journal.append(
                TrialStarted(
                    number=self.count,
                    proposed=self.proposed,
                    seed=self.count,
                    purpose="baseline",
                    reserved=Spend(trials=1),
                )
            )
            body = TrialFinished(
                started=started.id,
                metrics={"m": 0.1 * (self.count + 1)},
                failure=None,
                resources=Resources(wall_ms=1),
                spent=Spend(trials=1),
                isolation=Isolation(level="strong", domain="split"),
                comparability_key="c" * 64,
                environment=self.environment,
                log=name or journal.put_erasable(log),
                feedback="",
            )
            journal.append(body)
        self.count += 1
        return body

    def append(self, body: Any, who: Identity | None = None) -> str:
        with self.writing(who or self.owner) as journal:
            return journal.append(body).id

    def _found(self, journal: Journal, policy: Policy, owners: tuple[str, ...]) -> None:
        did = self.owner.did
        journal.put(EVALUATOR)
        journal.append(
            HiveFounded(
                problem=problem_id(PROBLEM),
                specification=journal.put(canonical_bytes(PROBLEM)),
                policy=policy,
                roles={"owner": owners},
                supply="0",
                witnesses=(did,),
                auditors=(did,),
            )
        )
        journal.append(StudyConfigured(version=1, settings=StudySettings(budget=Budget(trials=9), policy=policy)))
        journal.put(artifact_bytes(ARTIFACT))
        self.environment = journal.put(b'{"python":"3"}')
        self.proposed = journal.append(plain_candidate(artifact_id(ARTIFACT), normal_form="n")).id


class Writing:
    """Opens the journal for one author, commits and closes."""

    def __init__(self, study: KeptStudy, who: Identity) -> None:
        self._study = study
        self._who = who

    def __enter__(self) -> Journal:
        self._journal = Journal.create(self._study.state, self._who, self._study.clock)
        self._journal.enter(self._study.hive, self._study.places.marks)
        return self._journal

    def __exit__(self, *_: object) -> None:
        self._journal.commit()
        self._journal.close()
