"""SSH keys: an appliance's host key, and the worker's own."""

from pathlib import Path

import asyncssh

from partial_failover.contracts.errors import Misconfigured


def host_key_of(text: str) -> asyncssh.SSHKey:
    """A pinned host key. Raises `Misconfigured`."""
    try:
        return asyncssh.import_public_key(text)
    except (asyncssh.KeyImportError, ValueError):
        raise Misconfigured(
            "The host key configured for an appliance is not an SSH public key",
            do='Configure it as "ssh-ed25519 AAAA…"',
        ) from None


def public_key(private: Path) -> str:
    """The public half of a worker's SSH key, as `authorized_keys` takes it. Raises `Misconfigured`."""
    try:
        return asyncssh.read_private_key(str(private)).export_public_key().decode().strip()
    except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise Misconfigured(
            f"The SSH key {private.name} cannot be read", do="Give a private key file without passphrase"
        ) from None
