"""What a caller may say about a folder that has no `problem.toml`.

Rules:
    1. Options fill what a folder does not say; a `problem.toml` says all but the interpreter itself.
"""

from __future__ import annotations

from msgspec import Struct

from consilience.core.problem import Direction


class LoadOptions(Struct, frozen=True, kw_only=True):
    """Flags for folders without `problem.toml`; "" and None leave the choice to the loader.

    Attributes:
        command: what to run, split into words, e.g. ``("python", "train.py")``.
        metric: the objective's metric.
        metric_pattern: regular expression with one group that finds the metric in the command's output.
        direction: which way is better.
        interpreter: the Python that runs candidates, as `interpreters.find_interpreter` takes it.
    """

    command: tuple[str, ...] = ()
    metric: str = ""
    metric_pattern: str = ""
    direction: Direction | None = None
    interpreter: str = ""
