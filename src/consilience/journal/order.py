"""Canonical fold order: the one order in which every node folds the same set of events.

Rules:
    1. Facts about identities come first; then order is (epoch, causal depth, author, feed, seq). Neither arrival nor
       any clock takes part.
    2. An event whose causes are not here waits. Causes in other hives hold nothing back once they are held there.
    3. What no key in force signed, what its author's quarantine leaves out (`journal.quarantine`), what a stranger
       says of the study (`journal.members`), and what rests on any of it takes no part. The first is set aside before
       forks are looked for.
    4. Pure; O(n log n). One feed without other causes is in order already.

Data flow: held events of one hive and of its identities -> `order_events` -> views.

Source: DESIGN of epochs (`journal.epochs`); events not yet covered come last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

from consilience.core.bodies import HiveFounded
from consilience.core.events import Event, identity_hive
from consilience.journal.causality import depths
from consilience.journal.epochs import epochs
from consilience.journal.kinds import BY_NAME, references
from consilience.journal.members import members_of
from consilience.journal.operators import KeyFold, operators
from consilience.journal.quarantine import Proof, fork, left_out, rotations, spendings

_hive_of = lru_cache(maxsize=4096)(identity_hive)


class Ordered(Struct, frozen=True, kw_only=True):
    """A hive's events as they fold.

    Attributes:
        events: those that count, in canonical order, identities first.
        proofs: why authors are in quarantine, in order of author.
        left_out: ids of what does not count because of that, because no key in force signed it, or because a
            stranger says it.
        waiting: ids of events whose causes are not here.
    """

    events: list[Event]
    proofs: tuple[Proof, ...] = ()
    left_out: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()


def canonical_order(events: Iterable[Event]) -> list[Event]:
    """Return the events of one hive that count, in canonical order, those of its identities first."""
    return order_events(events).events


def is_identity_event(event: Event) -> bool:
    """Tell whether an event is in its author's own hive."""
    return event.fields.hive == _hive_of(event.fields.author)


def order_events(
    events: Iterable[Event], elsewhere: Container[str] = frozenset(), keys: KeyFold | None = None
) -> Ordered:
    """Order what is held of one hive and of its identities.

    Args:
        events: in any order; repetitions count once.
        elsewhere: ids of causes that are held in other hives.
        keys: a fold of keys that knows nothing yet; it is fed the identities' events. Without it no certificate,
            rotation or revocation counts.
    """
    feeds = _feeds(events)
    about = {event.id: event for feed in feeds if is_identity_event(feed[0]) for event in feed}
    identities, waiting = _identities(about)
    void = _void(keys, identities, feeds)
    if void:
        feeds = [left for feed in feeds if (left := [event for event in feed if event.id not in void])]
        identities = [event for event in identities if event.id not in void]
    proofs = tuple(sorted([*_proofs(feeds), *(rotations(identities, keys.quarantined()) if keys else ())]))
    own = [feed for feed in feeds if not is_identity_event(feed[0])]
    given = _Either(_Either(about, void), elsewhere)
    if not proofs and not void and len(own) == 1 and _is_line(own[0], given):
        return Ordered(events=identities + own[0] if identities else own[0], waiting=waiting)
    return _general(_Given(own, about, identities, given, void, keys), proofs, waiting)


def _void(keys: KeyFold | None, identities: Iterable[Event], feeds: Iterable[Sequence[Event]]) -> frozenset[str]:
    """Feed the fold of keys and return the ids of events that no key in force signed."""
    if keys is None:
        return frozenset()
    for event in identities:
        keys.apply(event)
    doubtful = (event for feed in feeds if not keys.is_plain(feed[0].fields.author) for event in feed)
    return frozenset(keys.void(doubtful))


class _Either:
    """Holds what either of two containers holds."""

    def __init__(self, one: Container[str], other: Container[str]) -> None:
        self._one, self._other = one, other

    def __contains__(self, name: object) -> bool:
        return name in self._one or name in self._other


class _Given(Struct, frozen=True):
    """What the general order is made from.

    The hive's feeds, its identities' events (held; in order), other causes, what no key in force signed, and the
    fold of keys.
    """

    feeds: list[list[Event]]
    about: Mapping[str, Event]
    identities: list[Event]
    causes: _Either
    void: frozenset[str]
    keys: KeyFold | None


def _feeds(events: Iterable[Event]) -> list[list[Event]]:
    """Return the events by feed, each sorted by seq and then by id."""
    feeds: dict[tuple[str, str, str], dict[str, Event]] = defaultdict(dict)
    for event in events:
        fields = event.fields
        feeds[fields.hive, fields.author, fields.feed][event.id] = event
    return [sorted(feed.values(), key=lambda event: (event.fields.seq, event.id)) for feed in feeds.values()]


def _is_line(feed: Sequence[Event], given: Container[str]) -> bool:
    """Tell whether a feed is whole from the genesis on and builds on nothing but itself and what is given.

    Epoch and depth never fall along one feed, so its seq alone is the order; its author is the hive's founder.
    """
    before = None
    if not isinstance(feed[0].body, HiveFounded):
        return False
    for seq, event in enumerate(feed):
        fields = event.fields
        if fields.seq != seq or fields.prev != before or not all(name in given for name in fields.after):
            return False
        before = event.id
    return True


def _linked(feed: Iterable[Event]) -> Iterable[Event]:
    """Yield the events of a feed that link back to its seq 0, both branches of a fork included."""
    seqs: dict[str | None, int] = {None: -1}
    for event in feed:
        fields = event.fields
        if seqs.get(fields.prev) == fields.seq - 1 and (fields.seq == 0) == (fields.prev is None):
            seqs[event.id] = fields.seq
            yield event


def _identities(about: Mapping[str, Event]) -> tuple[list[Event], frozenset[str]]:
    """Return the identities' events in order, and those that wait. Causes in study hives hold none of them back."""
    depth = depths(about, _Outside(about))
    ordered = sorted((about[name] for name in depth), key=lambda event: _place(event, 0, depth))
    return ordered, frozenset(about.keys() - depth.keys())


class _Outside:
    """Holds every id but those of one mapping: identities wait for their own feeds only (`prev` links those)."""

    def __init__(self, inside: Mapping[str, Event]) -> None:
        self._inside = inside

    def __contains__(self, name: object) -> bool:
        return name not in self._inside


def _proofs(feeds: Iterable[Sequence[Event]]) -> tuple[Proof, ...]:
    forks = [proof for feed in feeds if (proof := fork(feed)) is not None]
    return tuple(sorted([*forks, *spendings(feed[0] for feed in feeds)]))


def _general(given: _Given, proofs: tuple[Proof, ...], waiting: frozenset[str]) -> Ordered:
    held = {event.id: event for feed in given.feeds for event in _linked(feed)}
    depth = depths(held, given.causes)
    everything = {**given.about, **held}
    out = left_out(everything, proofs, held.values()) | given.void | _strangers(held, given.keys)
    counted = {name: held[name] for name in depth if name not in out}
    epoch = epochs(everything, depth, counted, operators(given.keys, "witness"))
    provisional = max(epoch.values(), default=0) + 1
    ordered = sorted(counted.values(), key=lambda event: _place(event, epoch.get(event.id, provisional), depth))
    standing = _without_what_rests_on(ordered, out) if out else ordered
    every = {event.id for feed in given.feeds for event in feed}
    return Ordered(
        events=given.identities + standing,
        proofs=proofs,
        left_out=frozenset(out),
        waiting=waiting | (every - depth.keys()),
    )


def _strangers(held: Mapping[str, Event], keys: KeyFold | None) -> set[str]:
    """Return the ids of what those who are no members say of the study."""
    members = members_of(held.values(), keys)
    return {event.id for event in held.values() if not members.counts(event)}


def _place(event: Event, epoch: int, depth: Mapping[str, int]) -> tuple[int, int, str, str, int, str]:
    fields = event.fields
    return (epoch, depth[event.id], fields.author, fields.feed, fields.seq, event.id)


def _without_what_rests_on(ordered: list[Event], out: set[str]) -> list[Event]:
    """Return the events without those that rest on what is left out, which `out` gains; causes come first."""
    standing: list[Event] = []
    for event in ordered:
        kind = BY_NAME.get(event.fields.kind)
        if kind is not None and event.body is not None and out.intersection(references(event.body, kind.rests_on)):
            out.add(event.id)
        else:
            standing.append(event)
    return standing
