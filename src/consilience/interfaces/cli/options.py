"""Options that many commands share, and what they open.

Data flow: flags and environment -> Target -> settings, loaded problem, state folder, reader.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec import Struct

from consilience.core.errors import NotFoundError, ProblemError, UsageError
from consilience.core.ports import LoadedProblem
from consilience.core.problem import problem_id
from consilience.interfaces.cli.output import note, warn
from consilience.node.browsing import EventLog
from consilience.node.places import UserPlaces, user_places
from consilience.node.reading import StudyReader, find_state
from consilience.node.secrets import artifact_warnings
from consilience.node.settings import PASSPHRASE, Settings, problem_layer, read_user_file, resolve
from consilience.problems.load import LoadOptions, load_problem

Function = TypeVar("Function", bound=Callable[..., Any])


def with_json(function: Function) -> Function:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON envelope instead of text.")(function)


def with_study(function: Function) -> Function:
    """Add what finds a study to read: `-p`, `--state`, `--json`."""
    for option in (
        click.option("-p", "--problem", "folder", default=".", help="The problem's folder.", type=click.Path()),
        click.option("--state", default="", help="Folder of the journal, when it is not beside the problem."),
    ):
        function = option(function)
    return with_json(function)


def with_layout(function: Function) -> Function:
    """Add what a folder without problem.toml does not say itself."""
    for option in (
        click.option("--interpreter", default="", help="The Python that runs candidates."),
        click.option(
            "--direction", type=click.Choice(["maximize", "minimize"]), help="Which way the metric is better."
        ),
        click.option("--metric-pattern", default="", help="Regex with one group that finds the metric in the output."),
        click.option("--metric", default="", help="Name of the metric that the command prints."),
        click.option("--command", "words", default="", help="Command to run, for folders without problem.toml."),
    ):
        function = option(function)
    return function


class Layout(Struct, frozen=True, kw_only=True):
    """The flags of `with_layout`."""

    words: str = ""
    metric: str = ""
    metric_pattern: str = ""
    direction: Any = None
    interpreter: str = ""

    def options(self) -> LoadOptions:
        """Return them as the loaders take them.

        Raises:
            UsageError: the command cannot be split into words.
        """
        try:
            command = tuple(shlex.split(self.words))
        except ValueError as error:
            raise UsageError(f"--command {self.words!r}: {error}", hint="close every quote") from error
        return LoadOptions(
            command=command,
            metric=self.metric,
            metric_pattern=self.metric_pattern,
            direction=self.direction,
            interpreter=self.interpreter,
        )


def take_layout(flags: dict[str, Any]) -> Layout:
    """Take the flags of `with_layout` out of a command's flags."""
    return Layout(**{name: flags.pop(name) for name in Layout.__struct_fields__})


def load(folder: str, layout: Layout) -> LoadedProblem:
    """Load a problem and tell its warnings."""
    loaded = load_problem(Path(folder), layout.options())
    for text in (*loaded.warnings, *artifact_warnings(loaded)):
        warn(text)
    return loaded


def resolve_settings(loaded: LoadedProblem | None, flags: Mapping[str, Any]) -> Settings:
    """Lay flags, environment, problem and user file over the defaults."""
    places = user_places()
    stated = problem_layer(loaded.study, loaded.stated) if loaded else {}
    return resolve(flags, os.environ, stated, read_user_file(places.settings), places.settings)


def state_of(folder: str, state: str) -> Path:
    """Return the state folder that a reading command means."""
    settings = resolve_settings(None, {"state": state or None})
    root = Path(folder)
    found = find_state(root, settings.value("state"))
    if found.parent.resolve() != root.resolve() and not settings.value("state"):
        note(f"reading {found.parent}")
    return found


def open_reader(folder: str, state: str, to: int | None = None, *, replay: bool = False) -> StudyReader:
    """Open the study that a reading command means: that of the folder's problem, else the latest one."""
    path = state_of(folder, state)
    return StudyReader.open(path, _current_problem(path), to, replay=replay)


def open_log(folder: str, state: str) -> EventLog:
    """Open the events of the study that a reading command means, without folding them."""
    path = state_of(folder, state)
    return EventLog.open(path, _current_problem(path))


def _current_problem(state: Path) -> str:
    """Return the id of the problem beside the state folder, "" when it cannot be loaded or has no results yet."""
    try:
        wanted = problem_id(load_problem(state.parent).problem)
        StudyReader.open(state, wanted, to=-1).close()
    except (ProblemError, NotFoundError):
        return ""
    return wanted


def passphrase() -> str:
    """Return the passphrase of the key file from the environment; "" when there is none."""
    return os.environ.get(PASSPHRASE, "")


def places() -> UserPlaces:
    """Return the user's folders."""
    return user_places()
