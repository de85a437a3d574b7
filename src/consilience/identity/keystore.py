"""The keys of one identity on this device: the key in force, the promised next key, the node's witness key.

Rules:
    1. `key.json` signs. `key.next.json` is promised by its hash and never signs before it takes over: keep it
       elsewhere, best offline. `witness.json` signs checkpoints. `key_files` says how each is kept.
    2. A rotation goes over two files more, `key.rotating.json` and `key.after.json`; while they are there the key in
       force is settled by the journal (`settle_rotation`), and nothing is signed before that.
    3. Only public names leave this module, and `Identity`, which signs.

Data flow: paths + passphrase -> Identity, WitnessKey, promises -> `node.genesis`, `node.rotation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from coincurve import PrivateKey

from consilience.core.errors import IdentityError
from consilience.identity.did import promise_of
from consilience.identity.key_files import (
    describe,
    key_document,
    read_secret,
    sync_folder,
    write_new,
    write_over,
)
from consilience.identity.keys import Identity
from consilience.identity.witness_keys import WitnessKey


def next_path(key: Path) -> Path:
    """Return where the promised key is kept when it was not taken elsewhere."""
    return key.parent / f"{key.stem}.next.json"


def witness_path(key: Path) -> Path:
    """Return where the node's witness key is kept."""
    return key.parent / ("witness.json" if key.stem == "key" else f"{key.stem}.witness.json")


def rotating_path(key: Path) -> Path:
    """Return where the key that is taking over is kept while it does."""
    return key.parent / f"{key.stem}.rotating.json"


def after_path(key: Path) -> Path:
    """Return where the key that will be promised is kept while a rotation goes on."""
    return key.parent / f"{key.stem}.after.json"


def load_or_create(path: Path, passphrase: str = "") -> Identity:
    """Return the identity kept at `path`, making it on first use.

    Raises:
        IdentityError: the file cannot be written or read, is open to others, or the passphrase is wrong.
    """
    if not path.exists():
        write_identity(path, Identity.generate(), passphrase)
    return load(path, passphrase)


def load(path: Path, passphrase: str = "") -> Identity:
    """Return the identity kept at `path`.

    Raises:
        IdentityError: see `load_or_create`; also when there is no such file, or a rotation was cut short.
    """
    require_settled(path)
    identity, file = read_identity(path, passphrase), describe(path)
    if not file.did:  # a locked file of an earlier version, or of a wallet: from now on it says whose it is
        with suppress(IdentityError):  # it may be where nothing can be written
            write_over(path, {**file.document, "did": identity.key_did})
    return identity


def require_settled(path: Path, key_did: str = "") -> None:
    """Make sure that no rotation is under way, and that the key at `path` is still `key_did` (unless that is "").

    Raises:
        IdentityError: a rotation is under way, was cut short, or took place meanwhile.
    """
    if is_unsettled(path):
        raise IdentityError(
            f"a rotation of {path} is under way or was cut short",
            hint="wait for it, or finish it: consilience id show",
        )
    if key_did and describe(path).did not in ("", key_did):
        raise IdentityError(f"the key at {path} was rotated meanwhile", hint="give the command again")


def is_unsettled(path: Path) -> bool:
    """Tell whether files of a rotation are there."""
    return rotating_path(path).exists() or after_path(path).exists()


def write_identity(
    path: Path, identity: Identity, passphrase: str, *, origin: str = "", beside: Mapping[str, object] | None = None
) -> bool:
    """Keep an identity at `path` unless there is one; tell whether this call made the file.

    `beside` are further, public fields of the file.

    Raises:
        IdentityError: it cannot be written.
    """
    return write_new(path, {**_document(identity, passphrase, origin), **(beside or {})})


def ensure_next_key(path: Path, passphrase: str = "") -> str:
    """Return the promise of the next key of the identity at `path`, making that key on first use.

    Raises:
        IdentityError: it cannot be made or read.
    """
    kept = next_path(path)
    if not kept.exists():
        write_new(kept, _document(Identity.generate(), passphrase))
    return promise_of(key_did_at(kept, passphrase))


def ensure_witness_key(path: Path, passphrase: str = "") -> WitnessKey:
    """Return the witness key of the node whose key is at `path`, making it on first use.

    Raises:
        IdentityError: it cannot be made or read.
    """
    kept = witness_path(path)
    if not kept.exists():
        made = WitnessKey.generate()
        document = key_document(made.secret_bytes(), passphrase, {"did": made.did})
        document.pop("address", None)  # a wallet's name for a key that is no wallet
        write_new(kept, document)
    return WitnessKey(read_secret(kept, passphrase))


def promised_key(promised: Path, promise: str, passphrase: str) -> Identity:
    """Return the promised key, for `begin_rotation` only.

    Raises:
        IdentityError: the file is not here, cannot be read, or holds another key.
    """
    if not promised.exists():
        hint = "bring it back from where it is kept and name it: consilience id rotate --next FILE"
        raise IdentityError(f"the promised key is not at {promised}", hint=hint)
    identity = read_identity(promised, passphrase)
    if promise_of(identity.key_did) != promise:
        hint = "name the file of the promised key with --next"
        raise IdentityError(f"the key at {promised} is not the one that was promised", hint=hint)
    return identity


def begin_rotation(path: Path, promised: Identity, author: str, passphrase: str) -> tuple[Identity, str]:
    """Lay ready the key that takes over and the one after it; return that identity and the new promise.

    Args:
        path: the key in force.
        promised: the key that was promised (`promised_key`).
        author: the identity's first DID.
        passphrase: of what is written.

    Raises:
        IdentityError: one of them cannot be read or written.
    """
    identity = Identity(PrivateKey(promised.secret_bytes()), author)
    after = Identity.generate()
    origin = describe(path).origin
    write_over(rotating_path(path), _document(identity, passphrase, origin))
    write_over(after_path(path), _document(after, passphrase))
    return identity, promise_of(after.key_did)


def settle_rotation(path: Path, in_force: str) -> None:
    """Finish or undo a rotation, by the key that the journal says is in force. Doing it again changes nothing.

    Raises:
        IdentityError: the key in force is in none of the files.
    """
    rotating, after = rotating_path(path), after_path(path)
    if rotating.exists() and key_did_at(rotating) == in_force:
        rotating.replace(path)
    if describe(path).did != in_force:
        hint = "restore key.json from a backup made after the last rotation"
        raise IdentityError(f"{path} is not the key in force, {in_force}", hint=hint)
    if rotating.exists():  # nothing was signed: the key before is still in force, and the one after was never promised
        after.unlink(missing_ok=True)
        rotating.unlink()
    if after.exists():
        after.replace(next_path(path))
    sync_folder(path.parent)


def set_passphrase(path: Path, old: str, new: str) -> list[Path]:
    """Put every key of this identity on this device under a new passphrase ("" for none); return the files.

    Raises:
        IdentityError: one of them cannot be read with the old passphrase; nothing is changed then.
    """
    require_settled(path)
    files = [file for file in (path, next_path(path), witness_path(path)) if file.exists()]
    secrets = {file: _read_either(file, old, new) for file in files}
    for file, secret in secrets.items():
        known = describe(file)
        public = {"did": known.did, "author": known.author, "origin": known.origin * (known.origin == "imported")}
        document = key_document(secret, new, public)
        if file == witness_path(path):
            document.pop("address", None)
        write_over(file, document)
    return files


def _read_either(path: Path, old: str, new: str) -> bytes:
    """Read a secret under the old passphrase, or under the new one: a change that was cut short is given again."""
    try:
        return read_secret(path, old)
    except IdentityError:
        if not new or not describe(path).locked:
            raise
        return read_secret(path, new)


def read_identity(path: Path, passphrase: str) -> Identity:
    """Return the key in a file, whatever its role, with the author that the file names.

    Raises:
        IdentityError: it cannot be read, or contradicts itself.
    """
    restore = "restore it from a backup, or name another"
    file = describe(path)
    try:
        identity = Identity(PrivateKey(read_secret(path, passphrase)), file.author)
    except ValueError as error:
        raise IdentityError(f"{path} holds no private key", hint=restore) from error
    if file.did not in ("", identity.key_did):
        raise IdentityError(f"{path} names {file.did}, but holds the key of {identity.key_did}", hint=restore)
    return identity


def key_did_at(path: Path, passphrase: str = "") -> str:
    """Return the DID of the key in a file, which a file of another program says only when it is unlocked.

    Raises:
        IdentityError: it cannot be read.
    """
    return describe(path).did or read_identity(path, passphrase).key_did


def _document(identity: Identity, passphrase: str, origin: str = "") -> dict[str, object]:
    author = identity.did if identity.did != identity.key_did else ""
    public = {"did": identity.key_did, "author": author, "origin": origin if origin == "imported" else ""}
    return key_document(identity.secret_bytes(), passphrase, public)
