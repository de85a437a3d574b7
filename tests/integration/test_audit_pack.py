"""The audit pack: one small file checks it with nothing of ours, and whatever is changed in it is caught."""

import base64
import csv
import hashlib
import importlib.util
import io
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kept_study import NOW, KeptStudy, SetClock

from consilience.core.bodies_identity import IdentityCreated, KeyCertified, KeyRotated
from consilience.core.bodies_journal import CheckpointSigned
from consilience.core.canonical import canonical_bytes, sha256_hex
from consilience.core.errors import ConsilienceError, UsageError
from consilience.core.events import identity_hive
from consilience.core.study import Policy
from consilience.identity.did import decode_did
from consilience.identity.keys import Identity
from consilience.journal.erasure import erase_bytes
from consilience.journal.feed import FeedHead, Row, next_payload
from consilience.journal.kinds import KINDS
from consilience.journal.reader import JOURNAL_NAME, JournalReader
from consilience.journal.store import Store
from consilience.node.pack import verify_pack
from consilience.node.packing import write_pack
from consilience.node.reading import StudyReader
from consilience.node.retention import DAY_MS, Wish, retain

ME = Identity.generate()


def make_pack(study: KeptStudy, place: Path) -> Path:
    reader = StudyReader.open(study.state)
    try:
        write_pack(reader, place)
    finally:
        reader.close()
    return place


def checked(folder: Path) -> verify_pack.Pack:
    pack = verify_pack.Pack(folder)
    pack.check()
    return pack


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> KeptStudy:
    made = KeptStudy(tmp_path_factory.mktemp("pack"), ME)
    for days in (300.0, 250.0, 3.0):
        made.trial(f"log \u2028 of {days}".encode(), days)
    retain(made.state, Wish(age_ms=260 * DAY_MS), ME, made.places, SetClock(NOW))
    return made


@pytest.fixture(scope="module")
def pack(study: KeptStudy) -> Path:
    return make_pack(study, study.folder / "audit-pack")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with coincurve and what it is made of, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ("coincurve", "cffi", "_cffi_backend"):
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        origin = Path(found.origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, folder / name)
        else:
            shutil.copy(origin, folder)
    return folder


def alone(pack: Path, bare: Path) -> subprocess.CompletedProcess[str]:
    """Run the pack's own verifier in an interpreter that can import the standard library and coincurve."""
    code = f"import sys, runpy; sys.path.append({str(bare)!r}); sys.argv = ['verify_pack.py']; "
    code += f"runpy.run_path({str(pack / 'verify_pack.py')!r}, run_name='__main__')"
    return subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], check=False, capture_output=True, text=True)


def test_the_verifier_needs_nothing_but_python_and_coincurve(pack: Path, bare: Path) -> None:
    done = alone(pack, bare)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILS" not in done.stdout
    assert f"signed, by {ME.did}" in done.stdout
    assert "1 texts were erased, each by who may" in done.stdout
    assert "not checked: the times in events" in done.stdout
    source = (pack / "verify_pack.py").read_text()
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported - set(sys.stdlib_module_names) == {"coincurve"}


def test_the_same_journal_gives_the_same_pack(study: KeptStudy, pack: Path, tmp_path: Path) -> None:
    again = make_pack(study, tmp_path / "again")
    names = sorted(path.relative_to(pack) for path in pack.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for name in names:
        assert (pack / name).read_bytes() == (again / name).read_bytes(), name


def test_every_file_is_covered_wherever_a_byte_flips(pack: Path, tmp_path: Path) -> None:
    folder = tmp_path / "flipped"
    shutil.copytree(pack, folder)
    chance = random.Random(11)
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        for place in {0, len(data) - 1, *(chance.randrange(len(data)) for _ in range(6))} if data else ():
            flipped = bytearray(data)
            flipped[place] ^= 1 << chance.randrange(8)
            path.write_bytes(flipped)
            assert checked(folder).faults, f"{path.name}, byte {place}"
        if data:
            path.write_bytes(data)
    assert not checked(folder).faults


def test_the_command_exits_with_3_when_something_does_not_hold(pack: Path, bare: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(pack, folder)
    (folder / "README.md").write_text("another")
    done = alone(folder, bare)
    assert done.returncode == 3
    assert "FAILS: README.md was changed" in done.stdout


def rewrite_lines(change: Callable[[list[Any]], None]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
        change(lines)
        (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    return rewrite


def payload_change(old: str, new: str) -> Callable[[Path], None]:
    def change(lines: list[Any]) -> None:
        place = next(number for number, line in enumerate(lines) if old in line["payload"])
        lines[place]["payload"] = lines[place]["payload"].replace(old, new)

    return rewrite_lines(change)


def swap(lines: list[Any]) -> None:
    lines[3], lines[4] = lines[4], lines[3]


def other_author(lines: list[Any]) -> None:
    lines[2] |= {"author": "did:key:zQ3shokFTS3brHcDQrn82RUDfCRESWL1ZdCEJwekUDPQiYBme", "seq": 0}
    lines[2]["payload"] = lines[2]["payload"].replace('"seq":2', '"seq":3')


def raise_score(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((folder / "board.csv").read_text())))
    rows[0]["mean"] = "0.0"
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (folder / "board.csv").write_text(text.getvalue())


def edit_json(name: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        change(value)
        (folder / name).write_text(json.dumps(value))

    return edit


def drop_blob(folder: Path) -> None:
    lines = [json.loads(json.loads(line)["payload"]) for line in (folder / "journal.jsonl").read_text().splitlines()]
    name = [line["body"]["log"] for line in lines if line["kind"] == "trial.finished"][-1]
    (folder / "blobs" / name).unlink()
    salts = json.loads((folder / "blobs.json").read_text())
    del salts[name]
    (folder / "blobs.json").write_text(json.dumps(salts))


def change_blob(folder: Path) -> None:
    path = next((folder / "blobs").iterdir())
    path.write_bytes(path.read_bytes() + b" ")


LIES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a better score": (payload_change('"metrics":{"m":0.1}', '"metrics":{"m":0.0}'), "does not match the payload"),
    "an event is taken out": (rewrite_lines(lambda lines: lines.pop(3)), "does not follow"),
    "two events change places": (rewrite_lines(swap), "does not follow"),
    "an event twice": (rewrite_lines(lambda lines: lines.append(lines[-1])), "there twice"),
    "a space in a payload": (payload_change('{"after":', '{ "after":'), "not in canonical form"),
    "fields beside the payload": (rewrite_lines(other_author), "does not match the payload"),
    "another mean on the board": (raise_score, "board is not what its events say"),
    "another policy": (edit_json("policy.json", lambda value: value["policy"].update(retention_days=0)), "policy.json"),
    "a text is gone": (drop_blob, "no tombstone of who may erase it"),
    "a blob is another": (change_blob, "does not match its name"),
    "another specification": (edit_json("specification.json", lambda value: value.update(goal="x")), "specification"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_caught_though_the_manifest_was_made_anew(lie: str, pack: Path, tmp_path: Path) -> None:
    tell, wanted = LIES[lie]
    folder = tmp_path / "lying"
    shutil.copytree(pack, folder)
    tell(folder)
    renew_manifest(folder)
    faults = checked(folder).faults
    assert any(wanted in fault for fault in faults), faults
    assert not any("manifest" in fault for fault in faults)


def renew_manifest(folder: Path) -> None:
    (folder / "MANIFEST.json").unlink()
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    listed = {name: sha256_hex(path.read_bytes()) for name, path in files.items()}
    (folder / "MANIFEST.json").write_text(json.dumps(listed, indent=1, sort_keys=True) + "\n")


def test_an_extra_file_and_a_missing_one_are_caught(pack: Path, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    shutil.copytree(pack, folder)
    (folder / "notes.txt").write_text("x")
    assert "notes.txt is not in the manifest" in checked(folder).faults
    (folder / "notes.txt").unlink()
    (folder / "board.csv").unlink()
    assert "board.csv is missing" in checked(folder).faults


def test_the_verifier_knows_the_kinds_that_name_blobs() -> None:
    erasable = {kind.name: kind.erasable for kind in KINDS if kind.erasable}
    kept = {kind.name: tuple(name for name in kind.blobs if name not in kind.erasable) for kind in KINDS}
    assert erasable == verify_pack.ERASABLE
    stated = {"checkpoint.signed": ("timestamps",)}  # named by checkpoints that were stamped by an authority
    assert {**{name: fields for name, fields in kept.items() if fields}, **stated} == verify_pack.KEPT


def test_roots_are_those_of_rfc_9162() -> None:
    leaves = [bytes([number]) for number in range(40)]

    def subtree(start: int, stop: int) -> bytes:
        if stop - start == 1:
            return hashlib.sha256(b"\0" + leaves[start]).digest()
        half = 1
        while half * 2 < stop - start:
            half *= 2
        return hashlib.sha256(b"\1" + subtree(start, start + half) + subtree(start + half, stop)).digest()

    assert verify_pack.tree_root([]) == hashlib.sha256(b"").digest()
    for size in range(1, len(leaves) + 1):
        assert verify_pack.tree_root(leaves[:size]) == subtree(0, size)


# -- keys that follow one another, and checkpoints


def witness_did(key: Ed25519PrivateKey) -> str:
    import base58

    return "did:key:z" + base58.b58encode(b"\xed\x01" + key.public_key().public_bytes_raw()).decode()


def note_of(origin: str, size: int, root: bytes, key: Ed25519PrivateKey) -> str:
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    raw = key.public_key().public_bytes_raw()
    name = hashlib.sha256(origin.encode() + b"\n\x01" + raw).digest()[:4]
    own = f"\u2014 {origin} {base64.b64encode(name + key.sign(text.encode())).decode()}\n"
    did = witness_did(key)
    cosigned = key.sign(f"cosignature/v1\ntime 1700000000\n{text}".encode())
    name = hashlib.sha256(did.encode() + b"\n\x04" + raw).digest()[:4] + (1_700_000_000).to_bytes(8, "big")
    return f"{text}\n{own}\u2014 {did} {base64.b64encode(name + cosigned).decode()}\n"


class Rotating:
    """Writes an identity's own events, and events of a study under the key that was in force."""

    def __init__(self, study: KeptStudy) -> None:
        self.old, self.new = PrivateKey(), PrivateKey()
        self.study = study
        self.did, self.next = Identity(self.old).did, Identity(self.new).did
        self.store = Store.open(study.state / JOURNAL_NAME)
        self.heads = {
            "own": FeedHead(hive=identity_hive(self.did), author=self.did, feed="0a" * 16),
            "study": FeedHead(hive=study.hive, author=self.did, feed="0b" * 16),
        }

    def add(self, head: str, body: Any, key: PrivateKey) -> str:
        payload = next_payload(self.heads[head], body, at=NOW)
        data = canonical_bytes(payload)
        row = Row(
            position=self.store.count(),
            id=sha256_hex(data),
            hive=payload.hive,
            author=payload.author,
            feed=payload.feed,
            seq=payload.seq,
            kind=payload.kind,
            payload=data,
            jws=Identity(key).sign(data),
        )
        self.store.begin()
        self.store.add(row)
        self.store.commit()
        self.heads[head] = FeedHead(
            hive=payload.hive, author=payload.author, feed=payload.feed, seq=payload.seq, id=row.id
        )
        return row.id

    def created(self) -> str:
        promise = sha256_hex(decode_did(self.next).format())
        body = IdentityCreated(
            origin="generated", lineage=(), policy=Policy(), ceiling=(), next_key=promise, controller="", consent=""
        )
        return self.add("own", body, self.old)

    def rotated(self, previous: str, closes: dict[str, int], *, proof_by: PrivateKey | None = None) -> str:
        stated = {"previous": previous, "key": self.next, "next_key": "", "closes": closes}
        statement = canonical_bytes({**stated, "identity": self.did, "statement": "consilience.rotation.v1"})
        signer = Identity(proof_by or self.new)
        proof = signer.sign(statement)
        body = KeyRotated(previous=previous, key=self.next, next_key="", closes=closes, proof=proof)
        return self.add("own", body, self.old)


@pytest.fixture
def rotating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rotating]:
    monkeypatch.setattr(JournalReader, "check_tail", lambda *_: None)  # a pack of what does not hold is wanted, too
    made = Rotating(KeptStudy(tmp_path, ME))
    yield made
    made.store.close()


def some_body() -> Any:
    from consilience.core.bodies import PhaseSwitched

    return PhaseSwitched(phase="explore", figures={"n": 1}, reason="r")


def test_a_key_that_followed_by_the_rules_may_sign(rotating: Rotating, tmp_path: Path) -> None:
    genesis = rotating.created()
    rotating.add("study", some_body(), rotating.old)
    rotating.rotated(genesis, {"0b" * 16: 0, "0a" * 16: 1})
    rotating.add("study", some_body(), rotating.new)
    pack = checked(make_pack(rotating.study, tmp_path / "p"))
    assert not pack.faults
    assert len((tmp_path / "p" / "identities.jsonl").read_text().splitlines()) == 2


def test_an_old_key_signs_nothing_beyond_what_its_rotation_closed(rotating: Rotating, tmp_path: Path) -> None:
    genesis = rotating.created()
    rotating.add("study", some_body(), rotating.old)
    rotating.rotated(genesis, {"0b" * 16: 0, "0a" * 16: 1})
    rotating.add("study", some_body(), rotating.old)
    assert any("retired or revoked" in fault for fault in checked(make_pack(rotating.study, tmp_path / "p")).faults)


def test_a_key_that_proved_nothing_may_not_sign(rotating: Rotating, tmp_path: Path) -> None:
    genesis = rotating.created()
    rotating.rotated(genesis, {"0a" * 16: 1}, proof_by=rotating.old)
    rotating.add("study", some_body(), rotating.new)
    assert any("has not named" in fault for fault in checked(make_pack(rotating.study, tmp_path / "p")).faults)


@pytest.mark.parametrize("honest", [True, False])
def test_checkpoints_have_the_root_of_what_was_before_them(honest: bool, rotating: Rotating, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    rotating.created()
    certified = KeyCertified(key=witness_did(key), purpose="witness", name="log", may=(), proof="")
    rotating.add("own", certified, rotating.old)
    for lies in (False, not honest):
        leaves = [bytes.fromhex(row.id) for row in rotating.store.rows()]
        root = verify_pack.tree_root(leaves[: -1 if lies else None])
        origin = f"consilience/{'0b' * 16}"
        body = CheckpointSigned(
            origin=origin, size=len(leaves), root=root.hex(), note=note_of(origin, len(leaves), root, key)
        )
        rotating.add("study", body, rotating.old)
    pack = checked(make_pack(rotating.study, tmp_path / "p"))
    assert not pack.unchecked
    assert [fault for fault in pack.faults if "another root" in fault] == pack.faults
    assert bool(pack.faults) == (not honest)


def test_a_forged_signature_on_a_checkpoint_is_caught(rotating: Rotating, tmp_path: Path) -> None:
    key, thief = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    rotating.created()
    certified = KeyCertified(key=witness_did(key), purpose="witness", name="log", may=(), proof="")
    rotating.add("own", certified, rotating.old)
    leaves = [bytes.fromhex(row.id) for row in rotating.store.rows()]
    root, origin = verify_pack.tree_root(leaves), f"consilience/{'0b' * 16}"
    note = note_of(origin, len(leaves), root, key)
    raw = base64.b64decode(note.splitlines()[4].split(" ")[2])
    forged = base64.b64encode(raw[:4] + thief.sign(b"x")).decode()
    note = note.replace(note.splitlines()[4].split(" ")[2], forged)
    body = CheckpointSigned(origin=origin, size=len(leaves), root=root.hex(), note=note)
    rotating.add("study", body, rotating.old)
    assert any("InvalidSignature" in fault for fault in checked(make_pack(rotating.study, tmp_path / "p")).faults)


# -- writing it


def test_nothing_that_exists_is_written_over(study: KeptStudy, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        make_pack(study, tmp_path / "full")
    (tmp_path / "empty").mkdir()
    make_pack(study, tmp_path / "empty")
    with pytest.raises(ConsilienceError, match="cannot write"):
        make_pack(study, tmp_path / "full" / "file" / "below")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full"]


def test_a_text_that_is_missing_without_a_tombstone_is_told(study: KeptStudy, tmp_path: Path) -> None:
    other = KeptStudy(tmp_path / "other", ME)
    body = other.trial(b"text", 1)
    erase_bytes(other.state / JOURNAL_NAME, [body.log])
    assert any("no tombstone" in fault for fault in checked(make_pack(other, tmp_path / "p")).faults)


def test_a_strangers_revocation_says_nothing_of_a_key_that_he_never_certified() -> None:
    stranger = Identity.generate()
    own, feed = identity_hive(stranger.did), "0c" * 16
    created = {"id": "1", "key": stranger.did, "author": stranger.did, "hive": own, "feed": feed, "seq": 0}
    events = [
        {**created, "kind": "identity.created", "body": {"next_key": ""}},
        {**created, "seq": 1, "kind": "key.revoked", "body": {"key": ME.did, "closes": {}}},
    ]
    mine = {"author": ME.did, "key": ME.did, "feed": "0d" * 16, "seq": 3, "kind": "trial.started"}
    assert verify_pack.Keys(events).fault(mine) == ""
    certified = {**created, "kind": "key.certified", "body": {"key": ME.did, "purpose": "agent"}}
    assert "revoked" in verify_pack.Keys([events[0], certified, events[1]]).fault(mine)
