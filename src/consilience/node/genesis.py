"""The beginning of an identity: its genesis, the promise of its next key, and the certificate of the witness key.

Rules:
    1. An identity has one genesis. Where the journal holds it already (an imported identity brings it along),
       nothing is written but the certificate of this node's own witness key.
    2. The keys are made and kept before the event that speaks of them is signed.

Data flow: Identity + key files -> `ensure_genesis` -> events in the identity's own hive.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from consilience.core.bodies_identity import CAPABILITIES, IdentityCreated, KeyCertified
from consilience.core.errors import IdentityError
from consilience.core.events import Event, identity_hive
from consilience.core.study import Policy
from consilience.identity.key_files import describe
from consilience.identity.keys import Identity
from consilience.identity.keystore import ensure_next_key, ensure_witness_key, witness_path
from consilience.identity.proofs import prove
from consilience.identity.statements import certificate_statement, consent_statement
from consilience.journal.journal import Journal

WITNESS_NAME = "this node"


def ensure_genesis(
    journal: Journal, identity: Identity, key: Path, passphrase: str = "", *, controller: Identity | None = None
) -> bool:
    """Write an identity's genesis where it has none, and certify this node's witness key; tell whether it wrote.

    Args:
        journal: the soul journal, having entered the identity's own hive (`node.souls.open_soul`).
        identity: whose genesis.
        key: its key file; the next key and the witness key are kept beside it.
        passphrase: of these files.
        controller: owns the stakes from the beginning; it consents here and now. Where there is a genesis already,
            it is not looked at.

    Raises:
        IdentityError: the keys cannot be made or read, or this is no longer the identity's first key and the journal
            lacks the genesis.
    """
    events = journal.events(identity_hive(identity.did))
    begun = has_genesis(events)
    if not begun:
        if identity.key_did != identity.did:
            hint = "restore the soul folder beside the key, or import the identity again"
            raise IdentityError(f"the journal beside {key} lacks the genesis of {identity.did}", hint=hint)
        journal.append(_genesis(identity.did, key, passphrase, controller))
    certified = begun and is_certified(events, witness_path(key))
    if not certified:
        journal.append(_witness_certificate(identity, key, passphrase))
    journal.commit()
    return not (begun and certified)


def _genesis(did: str, key: Path, passphrase: str, controller: Identity | None) -> IdentityCreated:
    owner = controller.key_did if controller else ""
    return IdentityCreated(
        origin="imported" if describe(key).origin == "imported" else "generated",
        lineage=(),
        policy=Policy(),
        ceiling=CAPABILITIES,
        next_key=ensure_next_key(key, passphrase),
        controller=owner,
        consent=prove(controller, consent_statement(did, owner)) if controller else "",
    )


def _witness_certificate(identity: Identity, key: Path, passphrase: str) -> KeyCertified:
    witness = ensure_witness_key(key, passphrase)
    body = KeyCertified(key=witness.did, purpose="witness", name=WITNESS_NAME, may=("witness",), proof="")
    return replace(body, proof=prove(witness, certificate_statement(identity.did, body)))


def has_genesis(events: Iterable[Event]) -> bool:
    """Tell whether an identity begins among these events."""
    return any(isinstance(event.body, IdentityCreated) for event in events)


def is_certified(events: Iterable[Event], witness: Path) -> bool:
    """Tell whether this node's witness key has a certificate; one that was revoked was revoked on purpose."""
    if not witness.exists():
        return False
    did = describe(witness).did
    return any(isinstance(event.body, KeyCertified) and event.body.key == did for event in events)
