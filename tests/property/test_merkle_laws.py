"""Laws of the tree, of notes and of the roots that a journal's checked tree gives."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.core.errors import ProofError
from consilience.identity.witness_keys import WitnessKey, WitnessVerifier
from consilience.journal.merkle import (
    Frontier,
    consistency_holds,
    consistency_path,
    inclusion_holds,
    inclusion_path,
    leaf_hash,
    tree_root,
)
from consilience.journal.notes import (
    Checkpoint,
    cosign,
    cosignatures,
    log_fault,
    read_checkpoint,
    read_note,
    sign_checkpoint,
    with_cosignatures,
    write_note,
)
from consilience.journal.proofs import PROOF_FORMAT, InclusionProof, SignedEvent, read_proof, write_proof
from consilience.testing.trees import MemoryTree

LEAVES = st.lists(st.binary(max_size=8).map(lambda data: leaf_hash(sha256(data).digest())), min_size=1, max_size=700)
LOG, WITNESS = WitnessKey(b"\x01" * 32), WitnessKey(b"\x02" * 32)
VERIFIER = WitnessVerifier()


@given(leaves=LEAVES, data=st.data())
def test_proofs_hold_and_any_other_leaf_or_tree_breaks_them(leaves: list[bytes], data: st.DataObject) -> None:
    tree, size = MemoryTree(leaves), len(leaves)
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(0, size))
    root, old = tree_root(size, tree), tree_root(first, tree)
    path = inclusion_path(index, size, tree)
    assert inclusion_holds(leaves[index], index, size, path, root)
    assert consistency_holds(first, old, size, root, consistency_path(first, size, tree))
    other = data.draw(st.sampled_from(leaves))
    assert inclusion_holds(other, index, size, path, root) == (other == leaves[index])


@given(leaves=LEAVES, data=st.data())
def test_a_changed_dropped_or_swapped_leaf_changes_the_root_and_no_proof_joins_the_trees(
    leaves: list[bytes], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(leaves) - 1))
    how = data.draw(st.sampled_from(["changed", "dropped", "swapped"]))
    forged = {
        "changed": [*leaves[:at], leaf_hash(leaves[at]), *leaves[at + 1 :]],
        "dropped": leaves[:at] + leaves[at + 1 :],
        "swapped": [*leaves[:at], *leaves[at : at + 2][::-1], *leaves[at + 2 :]],
    }[how]
    old, new = tree_root(len(leaves), MemoryTree(leaves)), tree_root(len(forged), MemoryTree(forged))
    assert (old == new) == (forged == leaves)
    if forged != leaves:
        grown = MemoryTree([*forged, *leaves])
        size = len(forged) + len(leaves)
        path = consistency_path(len(leaves), size, grown)
        begins = [*forged, *leaves][: len(leaves)] == leaves
        assert consistency_holds(len(leaves), old, size, tree_root(size, grown), path) == begins


@given(leaves=LEAVES, split=st.integers(0, 700))
def test_a_frontier_goes_on_from_any_size(leaves: list[bytes], split: int) -> None:
    edge = Frontier.of(min(split, len(leaves)), MemoryTree(leaves))
    for leaf in leaves[edge.size :]:
        edge.add(leaf)
    assert edge.root() == tree_root(len(leaves), MemoryTree(leaves))


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="+"), min_size=1)


@given(
    origin=NAMES, size=st.integers(0, 2**63 - 1), root=st.binary(min_size=32, max_size=32), time=st.integers(0, 2**62)
)
def test_notes_come_back_as_they_were_written(origin: str, size: int, root: bytes, time: int) -> None:
    head = Checkpoint(origin=origin, size=size, root=root)
    note = sign_checkpoint(head, LOG)
    note = with_cosignatures(note, (cosign(note, WITNESS, time),))
    again = read_note(write_note(note))
    assert again == note
    assert read_checkpoint(again) == head
    assert log_fault(again, LOG.did, VERIFIER) == ""
    assert [(each.key, each.time) for each in cosignatures(again, VERIFIER)] == [(WITNESS.did, time)]


@settings(max_examples=300)
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_cosigned_note_is_seen(at: int, bit: int) -> None:
    head = Checkpoint(origin="consilience/feed", size=77, root=b"\x07" * 32)
    note = sign_checkpoint(head, LOG)
    data = bytearray(write_note(with_cosignatures(note, (cosign(note, WITNESS, 1_700_000_000),))).encode())
    data[at % len(data)] ^= 1 << bit
    try:
        changed = read_note(data.decode())
        if read_checkpoint(changed) == head and not log_fault(changed, LOG.did, VERIFIER):
            assert [each.key for each in cosignatures(changed, VERIFIER)] != [WITNESS.did]
    except (ProofError, UnicodeDecodeError):
        return


@given(text=st.text(max_size=300))
def test_what_is_no_note_is_refused_and_what_is_read_is_written_back(text: str) -> None:
    try:
        assert write_note(read_note(text)) == text
    except ProofError:
        return


@given(payload=st.text(), jws=st.text(max_size=20), index=st.integers(0, 2**53 - 1))
def test_proofs_are_printable_and_come_back_as_they_were_written(payload: str, jws: str, index: int) -> None:
    proof = InclusionProof(
        format=PROOF_FORMAT,
        event=SignedEvent(payload=payload, jws=jws),
        index=index,
        path=(),
        checkpoint=payload,
        identity=(),
        timestamps=(),
    )
    data = write_proof(proof)
    assert all(b" "[0] <= byte <= b"~"[0] for byte in data[:-1])
    assert read_proof(data) == proof
    for other in (data[:-1], data + b"\n", b" " + data, data.replace(b":", b": ", 1)):
        with pytest.raises(ProofError):
            read_proof(other)
