"""Laws of keys: order of arrival changes nothing, and each place of a feed has one key that may sign it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.core.bodies_identity import KeyRevoked
from consilience.core.events import Event
from consilience.identity.keyring import KeyRing
from consilience.identity.keys import Identity
from consilience.identity.proofs import StatementProofs
from consilience.journal.feed import check_row, row_of
from consilience.journal.views.keys import KeysView
from consilience.testing.key_events import OTHER_HIVE, KeyFeed, certificate, genesis, rotation

KEYS = [Identity.generate() for _ in range(4)]
AGENT = Identity.generate()
A = KEYS[0].did
SOUL, STUDY = "a" * 32, "b" * 32


def history(lengths: list[int]) -> tuple[list[Event], list[Event]]:
    """Return events about keys, and study events, where each key signs so many of them before it is rotated."""
    soul, study = KeyFeed(A, SOUL), KeyFeed(A, STUDY, OTHER_HIVE)
    about, work = [soul.write(genesis(KEYS[1]), KEYS[0])], []
    about.append(soul.write(certificate(A, AGENT, AGENT.did), KEYS[0]))
    last = about[0]
    for number, length in enumerate(lengths):
        work += [study.note(KEYS[number]) for _ in range(length)]
        if number + 2 < len(KEYS) and number + 1 < len(lengths):
            closes = {SOUL: soul.head.seq, STUDY: study.head.seq}
            last = soul.write(rotation(last, KEYS[number + 1], KEYS[number + 2], closes), KEYS[number])
            about.append(last)
    about.append(soul.write(KeyRevoked(key=AGENT.did, reason="", closes={}), KEYS[len(lengths) - 1]))
    return about, work


def folded(events: list[Event]) -> KeysView:
    view = KeysView(StatementProofs())
    for event in events:
        view.apply(event)
    return view


lengths = st.lists(st.integers(0, 3), min_size=1, max_size=3)


@settings(max_examples=25, deadline=None)
@given(lengths=lengths, data=st.data())
def test_the_chain_of_keys_does_not_depend_on_order(lengths: list[int], data: st.DataObject) -> None:
    about, work = history(lengths)
    shuffled = data.draw(st.permutations(about))
    one, other = folded(about).state(A), folded(shuffled).state(A)
    assert (one.spans, one.promise, one.genesis, one.quarantined) == (
        other.spans,
        other.promise,
        other.genesis,
        other.quarantined,
    )
    assert folded(shuffled).void(work) == folded(about).void(work) == {}


@settings(max_examples=25, deadline=None)
@given(lengths=lengths, data=st.data())
def test_any_causal_interleaving_is_verified(lengths: list[int], data: st.DataObject) -> None:
    about, work = history(lengths)
    ring = KeyRing(KeysView(StatementProofs()))
    merged: list[Event] = []
    ahead, behind = list(about), list(work)
    while ahead or behind:
        key = behind[0].jws.split("..")[0] if behind else ""
        introduced = not behind or key == about[0].jws.split("..")[0] or _introduces(merged, behind[0])
        take_work = bool(behind) and introduced and (not ahead or data.draw(st.booleans()))
        merged.append(behind.pop(0) if take_work else ahead.pop(0))
    assert [check_row(row_of(event), ring) for event in merged] == [""] * len(merged)


def _introduces(merged: list[Event], event: Event) -> bool:
    signer = StatementProofs().signer(event.jws)
    return any(getattr(each.body, "closes", None) is not None and each.body.key == signer for each in merged)


@settings(max_examples=25, deadline=None)
@given(lengths=lengths, extra=st.integers(0, 2))
def test_one_key_may_sign_each_place(lengths: list[int], extra: int) -> None:
    about, work = history(lengths)
    view = folded(about)
    feed = KeyFeed(A, STUDY, OTHER_HIVE)
    for place in range(len(work) + extra):
        fields = feed.note(KEYS[0]).fields
        assert fields.seq == place
        able = [key.did for key in KEYS if view.key_fault(A, key.did, fields) == ""]
        signed = StatementProofs().signer(work[place].jws) if place < len(work) else view.state(A).key
        assert able == [signed]


@settings(max_examples=25, deadline=None)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_rotation_is_caught(position: int, bit: int) -> None:
    about, _ = history([1, 1])
    ring = KeyRing(KeysView(StatementProofs()))
    assert check_row(row_of(about[0]), ring) == ""
    rotated = next(event for event in about if event.fields.kind == "key.rotated")
    data = bytearray(rotated.payload)
    data[position % len(data)] ^= 1 << bit
    assert ring.verify(bytes(data), rotated.jws, A) != ""
    assert ring.verify(rotated.payload, rotated.jws, A) == ""
