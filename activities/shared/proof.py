"""The proof that a replica is Normal, signed where it was seen and checked where replication is released.

Whoever may schedule a step writes its input. So ReleaseReplication believes no proof but one that the
provider's worker signed with its Ed25519 key, whose public half the tenant-site worker has in its settings.
"""

import base64
import binascii
import json
from collections.abc import Collection
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from partial_failover.contracts.errors import Misconfigured, WrongState
from partial_failover.contracts.step_data import NormalProof


class ProofKey:
    """The provider's worker's. `file`: an OpenSSH private key. `public`: its other half."""

    def __init__(self, file: Path, public: str) -> None:
        key = load_ssh_private_key(file.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise Misconfigured("proof_key.file is no Ed25519 key", do="Make one by ssh-keygen -t ed25519")
        self._key, self.public = key, public

    def signed(self, proof: NormalProof) -> NormalProof:
        """The same proof, which nobody else can make."""
        signature = base64.b64encode(self._key.sign(_text(proof))).decode()
        return proof.model_copy(update={"signature": signature})


def require_signed(proof: NormalProof, keys: Collection[str]) -> None:
    """Raise `WrongState` unless one of these public keys is that of whoever signed it. Several are accepted
    while one follows another."""
    if not any(_signed_by(key, proof) for key in keys):
        raise WrongState(
            "The proof that the replica is Normal is not signed by the provider's worker",
            left="Replication stays on hold",
            do="Compare proof_keys in the tenant-site worker's settings with proof_key.public in the "
            "provider's; where they agree, find out who asked for the release",
        )


def _signed_by(key: str, proof: NormalProof) -> bool:
    public = load_ssh_public_key(key.encode())
    if not isinstance(public, Ed25519PublicKey):
        return False
    try:
        public.verify(base64.b64decode(proof.signature, validate=True), _text(proof))
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _text(proof: NormalProof) -> bytes:
    """What is signed: all that the release relies on. A list, so that no field can be read as another's."""
    run = proof.run
    said = [proof.replica_id, run.workflow_id, run.run_id, proof.restore_point.id, proof.read_at.isoformat()]
    return json.dumps(["partial-failover: replica is Normal", *said]).encode()
