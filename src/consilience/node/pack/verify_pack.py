"""Verifies an audit pack offline. Needs Python 3.11 and coincurve (libsecp256k1), and nothing of consilience.

Run: python verify_pack.py [FOLDER]. Exit code 0: all that was checked holds; 3: something does not.
Sources: RFC 8785 (canonical JSON), RFC 7797 and RFC 8812 (signatures), RFC 9162 (trees), C2SP signed-note and
tlog-cosignature (checkpoints).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
import sqlite3
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from coincurve import PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact

KEPT = {"hive.founded": ("specification",), "run.started": ("environment_blob",), "candidate.proposed": ("candidate",),
        "trial.finished": ("environment",), "checkpoint.signed": ("timestamps",)}  # fmt: skip
ERASABLE = {"trial.finished": ("log", "feedback"), "record.imported": ("source",)}
IDENTITY = ("identity.", "key.", "controller.")
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
SECP256K1, ED25519 = b"\xe7\x01", b"\xed\x01"
FIELDS = {"v", "hive", "author", "feed", "seq", "prev", "after", "at", "kind", "body"}
EXPONENT_FROM, EXPONENT_BELOW, SAFE = 21, -6, 2**53


def sha256(data: bytes) -> str:
    """Name bytes by their hash."""
    return hashlib.sha256(data).hexdigest()


def key_bytes(did: str, code: bytes = SECP256K1) -> bytes:
    """Return the public key that a did:key names."""
    number, text = 0, did.removeprefix("did:key:z")
    for character in text:
        number = number * 58 + ALPHABET.index(character)
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    if raw[:2] != code or not did.startswith("did:key:z"):
        raise ValueError(f"{did} is no did:key of this type")
    return raw[2:]


def number_text(value: float) -> str:
    """Write a number as ECMAScript does (RFC 8785, section 3.2.2.3)."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not finite"
    sign = "-" if value < 0 else ""
    _, figures, exponent = Decimal(repr(abs(value))).normalize().as_tuple()
    digits = "".join(map(str, figures))
    point = len(digits) + int(exponent)
    if len(digits) <= point <= EXPONENT_FROM:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= EXPONENT_FROM:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if EXPONENT_BELOW < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def canonical(value: Any) -> str:
    """Write a JSON value in canonical form."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int) and abs(value) < SAFE:
        return str(value)
    return number_text(float(value))


def signature_fault(payload: bytes, jws: str) -> tuple[str, str]:
    """Return the key that a detached JWS names, and "" when it holds, else what is wrong."""
    head, dots, tail = jws.partition("..")
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        key = str(header["kid"]).split("#")[0]
        wanted = {"alg": "ES256K", "b64": False, "crit": ["b64"], "kid": f"{key}#{key.removeprefix('did:key:')}"}
        text = base64.urlsafe_b64encode(canonical(wanted).encode()).rstrip(b"=").decode()
        raw = base64.urlsafe_b64decode(tail + "=" * (-len(tail) % 4))
        spelt = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        if not dots or head != text or tail != spelt:
            return key, "the JWS is not spelt as it must be"
        der = cdata_to_der(deserialize_compact(raw))
        good = PublicKey(key_bytes(key)).verify(
            der, head.encode() + b"." + payload, lambda d: hashlib.sha256(d).digest()
        )
    except (ValueError, KeyError, TypeError) as error:
        return "", f"the signature cannot be read: {error}"
    return key, "" if good else "the signature does not match the payload"


def tree_root(leaves: list[bytes]) -> bytes:
    """Return the root of RFC 9162, section 2.1.1."""
    if len(leaves) < 2:  # noqa: PLR2004
        return hashlib.sha256(b"\x00" + leaves[0] if leaves else b"").digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree_root(leaves[:split]) + tree_root(leaves[split:])).digest()


class Keys:
    """Which key may sign what for an author: the first DID, until rotations and revocations say otherwise."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.spans: dict[str, list[dict[str, Any]]] = {}
        self.revoked: dict[str, dict[str, int]] = {}
        self.witnesses: set[str] = set()
        self.certified: set[tuple[str, str]] = set()
        for event in events:
            if sha256(b"consilience identity " + event["author"].encode())[:32] == event["hive"]:
                self._take(event, event["kind"], event["body"])

    def _take(self, event: dict[str, Any], kind: str, body: dict[str, Any]) -> None:
        if kind == "identity.created" and event["key"] == event["author"]:
            self.spans.setdefault(event["author"], [self._span(event, event["key"])])
        elif kind == "key.rotated":
            self._rotate(event)
        elif kind == "key.revoked" and (event["author"], body["key"]) in self.certified | {(body["key"],) * 2}:
            own = {event["feed"]: event["seq"]} if body["key"] == event["author"] else {}
            self.revoked.setdefault(body["key"], {**body["closes"], **own})
        elif kind == "key.certified":
            self.certified.add((event["author"], body["key"]))
            if body["purpose"] == "witness":
                self.witnesses.add(body["key"])

    def _span(self, event: dict[str, Any], key: str) -> dict[str, Any]:
        return {"event": event["id"], "key": key, "closes": None, "promise": event["body"]["next_key"]}

    def _rotate(self, event: dict[str, Any]) -> None:
        """Follow a rotation that the key before it signed, to the key that was promised and that signed itself."""
        body, author = event["body"], event["author"]
        last = self.spans.get(author, [{}])[-1]
        stated = {name: body[name] for name in ("previous", "key", "next_key", "closes")}
        statement = canonical({**stated, "identity": author, "statement": "consilience.rotation.v1"}).encode()
        promised = last.get("promise") and sha256(key_bytes(body["key"])) == last["promise"]
        follows = body["previous"] == last.get("event") and event["key"] == last.get("key")
        if promised and follows and signature_fault(statement, body["proof"]) == (body["key"], ""):
            last["closes"] = body["closes"]
            self.spans[author].append(self._span(event, body["key"]))

    def fault(self, event: dict[str, Any]) -> str:
        """Return "" when the event's key may sign this place of its author's feed."""
        author, feed, seq = event["author"], event["feed"], event["seq"]
        spans = self.spans.get(author, [{"key": author, "closes": None}])
        place = next((number for number, span in enumerate(spans) if span["key"] == event["key"]), None)
        if place is None:
            return "it is signed by a key that its author has not named"
        if any(seq <= (span["closes"] or {}).get(feed, -1) for span in spans[:place]):
            return "it is signed by a later key than its place belongs to"
        for closes in (spans[place]["closes"], self.revoked.get(author)):
            rotation = closes is spans[place]["closes"] and event["kind"] == "key.rotated"
            if closes is not None and seq > closes.get(feed, -1) and not rotation:
                return "it is signed by a key that was retired or revoked before it"
        return ""


class Pack:
    """One folder, and what was found wrong, held and was not checked in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.held: list[str] = []
        self.unchecked: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.blobs: dict[str, bytes] = {}

    def check(self) -> None:
        """Run every check; one that cannot even read its files is a fault."""
        for check in (self.files, self.journal, self.chain, self.texts, self.copy, self.stated, self.board, self.trees):
            before = len(self.faults)
            try:
                told = check()
            except Exception as error:  # noqa: BLE001  whatever a hostile pack does is a fault of the pack
                self.faults.append(f"{check.__name__}: {type(error).__name__}: {error}")
                continue
            if len(self.faults) == before:
                self.held.append(told)

    def text(self, name: str) -> str:
        """Return a file of the pack."""
        return (self.folder / name).read_bytes().decode()

    def expect(self, fault: object, what: str) -> None:
        """Note what is wrong, if it is."""
        if fault:
            self.faults.append(what)

    def files(self) -> str:
        """Compare every file with the manifest, which must be there, whole and spelt as it was written."""
        text = self.text("MANIFEST.json")
        listed = json.loads(text)
        self.expect(json.dumps(listed, indent=1, sort_keys=True) + "\n" != text, "MANIFEST.json was changed")
        here = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}
        for name in sorted(here ^ {"MANIFEST.json", *listed}):
            self.expect("__pycache__" not in name, f"{name} is {'not in the manifest' if name in here else 'missing'}")
        for name in sorted(here & set(listed)):
            self.expect(sha256((self.folder / name).read_bytes()) != listed[name], f"{name} was changed")
        return f"{len(listed)} files are as the manifest says"

    def journal(self) -> str:
        """Check canonical form, id, signature and key of every event."""
        for place, line in enumerate(self.text("journal.jsonl").splitlines()):
            row = json.loads(line)
            fields = json.loads(row["payload"])
            good = canonical(fields) == row["payload"] and set(fields) == FIELDS
            self.expect(not good, f"event {place} is not in canonical form, or has other fields than an event")
            key, fault = signature_fault(row["payload"].encode(), row["jws"])
            self.expect(fault, f"event {place}: {fault}")
            known = {"payload": row["payload"], "jws": row["jws"], "id": sha256(row["payload"].encode())}
            self.events.append({**fields, **known, "key": key, "place": place})
        self.keys = Keys(self.events)
        for event in self.events:
            self.expect(fault := self.keys.fault(event), f"event {event['place']} ({event['id'][:12]}): {fault}")
        authors = ", ".join(sorted({event["author"] for event in self.events}))
        return f"{len(self.events)} events are canonical and signed, by {authors}"

    def chain(self) -> str:
        """Check that each feed runs from 0 without a gap, and that what an event builds on comes before it."""
        ids: set[str] = set()
        links: set[tuple[Any, ...]] = set()
        for event in self.events:
            feed, seq = (event["hive"], event["author"], event["feed"]), event["seq"]
            follows = (feed, seq - 1, event["prev"]) in links if seq else event["prev"] is None
            self.expect(not follows, f"event {event['place']} does not follow the one before it in its feed")
            self.expect(event["id"] in ids, f"event {event['place']} is there twice")
            self.expect(set(event["after"]) - ids, f"event {event['place']} builds on what is not before it")
            ids.add(event["id"])
            links.add((feed, seq, event["id"]))
        for feed, seq in sorted(place for place, count in Counter(link[:2] for link in links).items() if count > 1):
            self.unchecked.append(f"{feed[1]} signed two events with seq {seq} of feed {feed[2][:8]}: equivocation")
        return f"{len({link[0] for link in links})} feeds run from 0 without a gap"

    def texts(self) -> str:
        """Check every blob against its name, and that only erasable ones are absent, with a tombstone of who may."""
        salts = json.loads(self.text("blobs.json"))
        self.blobs = {path.name: path.read_bytes() for path in sorted((self.folder / "blobs").iterdir())}
        for name, data in self.blobs.items():
            self.expect(sha256(bytes.fromhex(salts[name]) + data) != name, f"blob {name[:12]} does not match its name")
        self.expect(set(salts) != set(self.blobs), "blobs.json names other blobs than are there")
        fields = [e["body"].get(field, "") for e in self.events for field in KEPT.get(e["kind"], ())]
        kept = {name for field in fields for name in ([field] if isinstance(field, str) else field)} - {""}
        owners: dict[str, list[str]] = {}
        named: dict[str, tuple[str, str]] = {}
        for event in self.events:
            if event["kind"] == "hive.founded":
                owners.setdefault(event["hive"], event["body"]["roles"].get("owner", []))
                specification = json.loads(self.blobs[event["body"]["specification"]])
                kept |= {file["sha256"] for file in specification["evaluator"]["files"]}
            for field in ERASABLE.get(event["kind"], ()):
                named.setdefault(event["body"][field], (event["hive"], event["author"]))
        stones = [event for event in self.events if event["kind"] == "blobs.erased"]
        gone = {(name, e["hive"], e["author"]) for e in stones for name in e["body"]["blobs"]}
        for name in sorted(kept - set(self.blobs)):
            self.expect(name, f"blob {name[:12]} is missing")
        absent = set(named) - set(self.blobs) - kept - {""}
        for name in sorted(absent):
            hive, author = named[name]
            told = any((name, hive, may) in gone for may in (author, *owners.get(hive, ())))
            self.expect(not told, f"text {name[:12]} is missing, and no tombstone of who may erase it says why")
        return f"{len(self.blobs)} blobs match their names; {len(absent)} texts were erased, each by who may"

    def copy(self) -> str:
        """Compare the copy of the journal's file with the lines."""
        place = (self.folder / "journal.db").resolve().as_uri()
        with sqlite3.connect(f"{place}?mode=ro&immutable=1", uri=True) as file:
            rows = file.execute("SELECT payload, jws FROM event ORDER BY position").fetchall()
            blobs = dict(file.execute("SELECT name, data FROM blob"))
        lines = [(event["payload"].encode(), event["jws"]) for event in self.events]
        self.expect((rows, blobs) != (lines, self.blobs), "journal.db holds other events or blobs than the lines")
        return "journal.db holds the same events and blobs"

    def stated(self) -> str:
        """Check policy, specification and identity events against the events that state them."""
        by_id = {event["id"]: event for event in self.events}
        policy = json.loads(self.text("policy.json"))
        body = by_id[policy["event"]]["body"]
        stated = body["settings"]["policy"] if "settings" in body else body["policy"]
        self.expect(stated != policy["policy"], "policy.json differs from the event that it names")
        name = by_id[policy["hive_founded"]]["body"]["specification"]
        self.expect(self.blobs[name] != self.text("specification.json").encode(), "specification.json is another")
        told = [json.loads(line)["payload"] for line in self.text("identities.jsonl").splitlines()]
        own = [event["payload"] for event in self.events if event["kind"].startswith(IDENTITY)]
        self.expect(told != own, "identities.jsonl differs from the journal")
        return "policy, specification and identities are as the events state them"

    def board(self) -> str:
        """Check that the board's scores are the means of the outcomes that its rows name."""
        by_id = {event["id"]: event["body"] for event in self.events}
        metric = json.loads(self.text("specification.json"))["objective"]["metric"]
        rows = list(csv.DictReader(self.text("board.csv").splitlines()))
        for row in rows:
            outcomes = [by_id[name] for name in row["events"].split() if "metrics" in by_id[name]]
            scores = [body["metrics"][metric] for body in outcomes if body["failure"] is None]
            mean = repr(math.fsum(scores) / len(scores)) if scores else ""
            made_from = {by_id[by_id[body["started"]]["proposed"]]["candidate"] for body in outcomes}
            good = (mean, str(len(scores))) == (row["mean"], row["runs"]) and made_from <= {row["candidate"]}
            self.expect(not good, f"place {row['place']} of the board is not what its events say")
        return f"{len(rows)} scores of the board are the means of the signed outcomes that they name"

    def trees(self) -> str:
        """Compute each checkpoint's root anew from the ids of the events before it, and check its note."""
        leaves = [bytes.fromhex(event["id"]) for event in self.events]
        signed = [event for event in self.events if event["kind"] == "checkpoint.signed"]
        fits = {
            event["id"]: tree_root(leaves[: event["body"]["size"]]).hex() == event["body"]["root"] for event in signed
        }
        here = {event["feed"] for event in signed if fits[event["id"]]}
        for event in signed:
            body, name = event["body"], f"checkpoint {event['id'][:12]}"
            told = [body["origin"], str(body["size"]), base64.b64encode(bytes.fromhex(body["root"])).decode()]
            self.expect(body["note"].split("\n")[:3] != told, f"{name}: its note says otherwise")
            self.expect(
                event["feed"] in here and not fits[event["id"]], f"{name}: the events before it have another root"
            )
            self.note(body["note"])
        for feed in sorted({event["feed"] for event in signed} - here):
            self.unchecked.append(f"checkpoints of feed {feed[:8]}: they are another log's, or events were taken out")
        return f"checkpoints with the root of the events before them: {sum(fits.values())} of {len(fits)}"

    def note(self, note: str) -> None:
        """Check the Ed25519 signatures of a note by witness keys that the journal certifies."""
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415  optional
        except ImportError:
            self.unchecked.append("signatures of a checkpoint's note: cryptography is not installed")
            return
        text, _, signatures = note.rpartition("\n\n")
        for line in signatures.splitlines():
            _, name, encoded = line.split(" ")
            raw = base64.b64decode(encoded)
            is_witness = name.startswith("did:key:")
            for key in [key_bytes(did, ED25519) for did in ({name} if is_witness else self.keys.witnesses)]:
                kind = b"\x04" if is_witness else b"\x01"
                if hashlib.sha256(name.encode() + b"\n" + kind + key).digest()[:4] == raw[:4]:
                    time = f"cosignature/v1\ntime {int.from_bytes(raw[4:12], 'big')}\n" if is_witness else ""
                    Ed25519PublicKey.from_public_bytes(key).verify(raw[12 if time else 4 :], f"{time}{text}\n".encode())
                    break
            else:
                self.unchecked.append(f"the signature of {name} on a checkpoint: no event certifies its key")


NEVER = (
    "that the board leaves out what was excised and nobody else, its order and bounds: `consilience replay` shows them",
    "whether a score can be had again: `consilience rerun` does",
    "what the authors never signed, and who stands behind a DID",
    "the times in events: they are their authors' clocks",
)


def main(arguments: list[str]) -> int:
    """Check one pack and tell."""
    pack = Pack(Path(arguments[0]) if arguments else Path(__file__).resolve().parent)
    pack.check()
    unchecked = [*dict.fromkeys(pack.unchecked), *NEVER]
    for word, lines in (("FAILS: ", pack.faults), ("holds: ", pack.held), ("not checked: ", unchecked)):
        sys.stdout.write("".join(f"{word}{line}\n" for line in lines).encode("ascii", "backslashreplace").decode())
    return 3 if pack.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
