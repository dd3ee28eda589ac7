"""Secrets, and everything that runs write, in which none of them may be.

The file of the Temporal server's database holds all histories, heartbeats, failures, memos and search
attributes, and what was overwritten since.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.lab import Lab


def written(lab: Lab) -> dict[Path, bytes]:
    """What the runs wrote, but for the appliances' own disks and the keys."""
    files = [f for f in lab.centre.folder.rglob("*") if f.is_file() and not {"keys"} & set(f.parts)]
    return {f: f.read_bytes() for f in files if f.suffix == ".log" or "temporal" in f.parts}


def leaked(lab: Lab, texts: Mapping[Path, bytes]) -> list[tuple[str, str]]:
    """Each secret that is in one of the texts, with the name of its file."""
    assert any(b"role provider serves" in text for text in texts.values()), "the logs are not read"
    searched = list(_secrets(lab))
    assert len(searched) > 10
    return [(name, file.name) for name, secret in searched for file, text in texts.items() if secret in text]


def _secrets(lab: Lab) -> Iterator[tuple[str, bytes]]:
    """Everything that must stay where it is: passwords, tokens, sessions, private keys line by line."""
    centre = lab.centre
    yield "password", centre.password.encode()
    yield "API token", centre.api_token.encode()
    for token in centre.cloud.api.sessions:
        yield "Cloud Director session", token.encode()
    for site in centre.sites.values():
        for issued in site.backup.accounts._tokens:
            yield "backup server session", issued.access.encode()
            yield "backup server refresh token", issued.refresh.encode()
    for file in _private_files(centre.folder):
        for line in file.read_bytes().splitlines():
            if re.fullmatch(rb"[A-Za-z0-9+/=]{40,}", line):
                yield str(file), line


def _private_files(folder: Path) -> list[Path]:
    """Private keys of the workers, of the appliances' SSH and VPN, and their shared tunnel keys."""
    names = ("*.key", "*host_ed25519", "*-ssh")
    found = [file for name in names for file in folder.rglob(name) if file.is_file()]
    assert len(found) >= 4
    return found
