"""Trials of OpenEvolve-style problems: the evaluator imports the candidate, so both are sandboxed as one.

Rules:
    1. Fresh process, fresh folder for each trial; the evaluator may start processes of its own.
    2. Candidate code runs in the evaluator's process and can forge the result that leaves it. That is why the
       domain is `shared-process`: weaker evidence, which audits weigh accordingly.

Data flow: TrialRequest -> folder {evaluator/, program/, scratch/} -> harness in the sandbox -> Evaluation -> Outcome.
"""

from __future__ import annotations

from pathlib import Path

from consilience.core.outcome import Failure, Isolation, Outcome
from consilience.core.ports import LoadedProblem, TrialRequest
from consilience.trials.executors import folders, interpreters
from consilience.trials.executors.child import Child, line_channel
from consilience.trials.executors.classify import capped
from consilience.trials.executors.logs import joined_log
from consilience.trials.executors.messages import NotPlainError, decode_line, encode_line
from consilience.trials.executors.pipes import Lines
from consilience.trials.executors.scoring import Evaluation, feedback, score
from consilience.trials.executors.scrub import Scrubber, python_names
from consilience.trials.executors.whole import Run, ended, run_whole
from consilience.trials.harness import HARNESS, script_arguments
from consilience.trials.sandbox.confinement import Confinement, Sandbox


class OpenEvolveExecutor:
    """Runs an evaluator that is given the program's path."""

    def __init__(self, loaded: LoadedProblem, sandbox: Sandbox, work_dir: Path) -> None:
        self._loaded = loaded
        self._sandbox = sandbox
        self._work_dir = work_dir
        self._interpreter = interpreters.inspect_interpreter(interpreters.executable_of(loaded.interpreter))

    @property
    def isolation(self) -> Isolation:
        """How candidates are held."""
        return Isolation(level=self._sandbox.level, domain="shared-process")

    def run(self, request: TrialRequest) -> Outcome:
        """Run one trial to its outcome.

        Raises:
            EnvironmentLacksError: the machine could not start a process or write a file.
        """
        with folders.trial_folder(self._work_dir) as folder:
            readable = self._fill(folder, request)
            confinement = self._confinement(folder, readable, request)
            run = run_whole(
                self._sandbox,
                confinement,
                line_channel(request.limits.output_kb),
                first_line=encode_line(self._start_line(folder, request)),
                finished=lambda child: _lines(child).settled,
            )
            scrubber = Scrubber({**python_names(self._interpreter), str(folder): "trial"})
            return scrubber.outcome(self._outcome(run, confinement))

    def close(self) -> None:
        """Nothing outlives a trial."""

    def _fill(self, folder: Path, request: TrialRequest) -> tuple[str, ...]:
        folders.write_files(folder / "evaluator", self._loaded.support)
        folders.write_artifact(folder / "program", request.artifact)
        (folder / "scratch").mkdir()
        return folders.link_data(folder / "evaluator", self._loaded)

    def _start_line(self, folder: Path, request: TrialRequest) -> dict[str, object]:
        spec = self._loaded.problem.evaluator
        return {
            "evaluator": str(folder / "evaluator" / spec.entry),
            "program": str(folder / "program" / request.artifact.files[0].path),
            "seed": request.seed,
            "generators": self._generators(request),
            "thresholds": list(spec.cascade_thresholds),
        }

    def _generators(self, request: TrialRequest) -> list[str]:
        fixed = (data.decode("utf-8", "replace") for path, data in self._loaded.support.items() if path.endswith(".py"))
        return interpreters.generators_in([*fixed, *(file.text for file in request.artifact.files)])

    def _confinement(self, folder: Path, readable: tuple[str, ...], request: TrialRequest) -> Confinement:
        scratch = str(folder / "scratch")
        environment = interpreters.child_environment(scratch, scratch) | interpreters.ONE_THREAD
        entry_folder = (folder / "evaluator" / self._loaded.problem.evaluator.entry).parent
        return Confinement(
            argv=(self._interpreter.executable, "-s", *script_arguments("openevolve")),
            work_dir=str(entry_folder),
            scratch=scratch,
            readable=(str(HARNESS), *readable),
            writable=(str(folder / "evaluator"), str(folder / "program")),
            environment=environment | interpreters.hash_seed(request.seed),
            limits=request.limits,
            may_fork=True,
        )

    def _outcome(self, run: Run, confinement: Confinement) -> Outcome:
        log = joined_log({"evaluation": run.child.log.text()})
        evaluation = self._evaluation(run, confinement)
        objective, excluded = self._loaded.problem.objective.metric, self._loaded.problem.evaluator.excluded_metrics
        result = evaluation if isinstance(evaluation, Failure) else score(evaluation, objective, excluded)
        return Outcome(
            metrics={} if isinstance(result, Failure) else result,
            failure=result if isinstance(result, Failure) else None,
            resources=run.resources,
            isolation=self.isolation,
            log=log,
            feedback="" if isinstance(evaluation, Failure) else feedback(evaluation),
        )

    def _evaluation(self, run: Run, confinement: Confinement) -> Evaluation | Failure:
        lines = _lines(run.child)
        line = lines.take()
        if run.failure:
            return run.failure
        if lines.overflow:
            return Failure(reason="invalid_output", message=f"the result is over {confinement.limits.output_kb} kB")
        if line is None:
            return ended(run, confinement, run.child.log.text())
        if lines.spoke:
            return Failure(reason="invalid_output", message="more than one result was written")
        try:
            return decode_line(line, Evaluation)
        except NotPlainError as error:
            return Failure(reason="invalid_output", message=capped(f"the result is not strict JSON: {error}"))


def _lines(child: Child) -> Lines:
    assert isinstance(child.answers, Lines)  # noqa: S101 - `line_channel` makes it so; for the type checker
    return child.answers
