"""consilience: a swarm of agents improves anything that can be measured, and every result can be checked.

From Python::

    import consilience

    study = consilience.study("my-problem", trials=200)
    study.run()
    print(study.best)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consilience.core.version import version

if TYPE_CHECKING:
    from consilience.interfaces.notebook import Study, study

__all__ = ["Study", "study", "version"]


def __getattr__(name: str) -> Any:
    """Load the Python face on first use, so that importing a part stays cheap."""
    if name in {"Study", "study"}:
        from consilience.interfaces import notebook  # noqa: PLC0415  loaded on first use

        return getattr(notebook, name)
    raise AttributeError(f"module 'consilience' has no attribute {name!r}")
