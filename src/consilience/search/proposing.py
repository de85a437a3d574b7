"""Proposing: choose operator and parent, ask for a hypothesis, and let only new candidates through.

Rules:
    1. An equal candidate (same normal form) is never run twice; refused repeats are counted in the event.
    2. Chance comes from (study seed, candidate number, attempt) alone.
    3. In exploitation the parent is the incumbent; in exploration often another good candidate.

Data flow: SearchState + blobs -> proposers -> novelty gate -> CandidateProposed and its artifact.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.artifact import Artifact, artifact_id
from consilience.core.bodies import CandidateProposed
from consilience.core.chance import derive_stream
from consilience.core.hypothesis import Hypothesis, Prediction, Proposal
from consilience.core.ports import ProposalView, Proposer, Scored
from consilience.core.untrusted import NAME_CHARACTERS, one_capped_line
from consilience.search.member import Member
from consilience.search.novelty import distance, normal_form
from consilience.search.state import SearchState

ATTEMPTS = 200  # empty or refused offers, of all operators, before the space counts as exhausted
PATIENCE = 8  # empty or refused offers of one operator before another is asked
BUILD_ON_INCUMBENT = 0.5  # chance that an exploring step builds on the incumbent all the same

ReadArtifact = Callable[[str], Artifact]


class Offer(Struct, frozen=True, kw_only=True):
    """A candidate that may be run: the body to record, and the artifact to keep as its blob."""

    body: CandidateProposed
    artifact: Artifact


def propose_baseline(artifact: Artifact) -> Offer:
    """Return the artifact as given, as the study's first candidate."""
    hypothesis = Hypothesis(operator="baseline", target="", change="as given", reason="measured before any change")
    body = CandidateProposed(
        candidate=artifact_id(artifact),
        parents=(),
        hypothesis=hypothesis,
        phase="explore",
        normal_form=normal_form(artifact),
        novelty=None,
        repeats=0,
        space="",
        coordinates=(),
    )
    return Offer(body=body, artifact=artifact)


def propose_next(state: SearchState, proposers: Sequence[Proposer], read: ReadArtifact) -> Offer | None:
    """Return the next new candidate, or None when nothing new was found in ATTEMPTS tries."""
    incumbent = state.incumbent
    if incumbent is None:
        return None
    repeats = 0
    barren: Counter[str] = Counter()
    for attempt in range(ATTEMPTS):
        stream = derive_stream(state.study.seed, "propose", len(state.members), attempt)
        view = _view(state, _choose_parent(state, incumbent, stream), incumbent, read)
        operator = _choose_operator(state, proposers, view, barren, stream)
        if operator is None:
            return None
        proposal = operator.propose(replace(view, tried=state.tried.rows(operator.operator)), stream)
        form = normal_form(proposal.artifact) if proposal is not None else ""
        if proposal is not None and form not in state.forms:
            return _offer(state, proposal, form, repeats, read)
        repeats += proposal is not None
        barren[operator.operator] += 1
    return None


def _choose_operator(
    state: SearchState,
    proposers: Sequence[Proposer],
    view: ProposalView,
    barren: Counter[str],
    stream: random.Random,
) -> Proposer | None:
    """Return the operator to ask; one that gave nothing new a few times is not asked again for this candidate."""
    fitting = {p.operator: p for p in proposers if barren[p.operator] < PATIENCE and p.applies(view)}
    if not fitting:
        return None
    return fitting[state.credit.choose(tuple(fitting), state.governor.phase, stream)]


def _choose_parent(state: SearchState, incumbent: Member, stream: random.Random) -> Member:
    if state.governor.phase == "exploit" or not state.pool or stream.random() < BUILD_ON_INCUMBENT:
        return incumbent
    pair = (stream.randrange(len(state.pool)), stream.randrange(len(state.pool)))
    return state.pool[min(pair)]  # the pool is sorted: the better of two


def _view(state: SearchState, parent: Member, incumbent: Member, read: ReadArtifact) -> ProposalView:
    return ProposalView(
        problem=state.problem,
        parent=_scored(parent, read),
        incumbent=_scored(incumbent, read),
        origin=_scored(state.origin_of(incumbent), read),
        pool=[_scored(member, read) for member in state.pool if member is not parent],
        tried=(),
        phase=state.governor.phase,
        seed=state.study.seed,
    )


def _scored(member: Member, read: ReadArtifact) -> Scored:
    return Scored(candidate=member.body.candidate, artifact=read(member.body.candidate), score=member.mean)


def _offer(state: SearchState, proposal: Proposal, form: str, repeats: int, read: ReadArtifact) -> Offer:
    parents = state.members_of(proposal.parents)
    body = CandidateProposed(
        candidate=artifact_id(proposal.artifact),
        parents=tuple(member.event for member in parents.values()) or _event_of(state.incumbent),
        hypothesis=replace(_capped(proposal.hypothesis), predicted=_predict(state, proposal, parents)),
        phase=state.governor.phase,
        normal_form=form,
        novelty=_novelty(state, proposal.artifact, read),
        repeats=repeats,
        space=proposal.space,
        coordinates=proposal.coordinates,
    )
    return Offer(body=body, artifact=proposal.artifact)


def _capped(hypothesis: Hypothesis) -> Hypothesis:
    """Hold a hypothesis to its shape, one capped line for each text: it may come from a model."""
    return replace(
        hypothesis,
        target=one_capped_line(hypothesis.target, NAME_CHARACTERS),
        change=one_capped_line(hypothesis.change),
        reason=one_capped_line(hypothesis.reason),
    )


def _event_of(member: Member | None) -> tuple[str, ...]:
    return (member.event,) if member else ()


def _predict(state: SearchState, proposal: Proposal, parents: dict[str, Member]) -> Prediction | None:
    """Predict the parent's score moved by the operator's mean gain, as uncertain as its gains are spread."""
    parent = next((parents[name] for name in proposal.parents if name in parents), state.incumbent)
    if parent is None or not parent.scores:
        return None
    credit = state.credit.of(proposal.hypothesis.operator)
    sign = 1.0 if state.problem.objective.direction == "maximize" else -1.0
    deviation = max(credit.gain_deviation, state.noise.deviation if state.noise else 0.0)
    return Prediction(score=parent.mean + sign * credit.gain_mean, deviation=deviation)


def _novelty(state: SearchState, artifact: Artifact, read: ReadArtifact) -> float:
    """Return the distance to the nearest of the incumbent, the best of the pool and the latest candidates."""
    near = [*state.pool[:3], *state.recent, *([state.incumbent] if state.incumbent else [])]
    names = dict.fromkeys(member.body.candidate for member in near)
    return min((distance(artifact, read(name)) for name in names), default=1.0)
