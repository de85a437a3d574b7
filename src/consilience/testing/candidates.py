"""A candidate's event without anything of interest in it, for tests of what happens around it.

Data flow: name and parents -> CandidateProposed -> a test's journal.
"""

from __future__ import annotations

from consilience.core.bodies import CandidateProposed
from consilience.core.hypothesis import Hypothesis


def plain_candidate(artifact: str, *parents: str, normal_form: str = "") -> CandidateProposed:
    """Return the body of a candidate of an artifact, made from these candidates' events.

    `normal_form` is the artifact's name where none is given.
    """
    return CandidateProposed(
        candidate=artifact,
        parents=parents,
        hypothesis=Hypothesis(operator="o", target="", change="", reason=""),
        phase="explore",
        normal_form=normal_form or artifact,
        novelty=None,
        repeats=0,
        space="",
        coordinates=(),
    )
