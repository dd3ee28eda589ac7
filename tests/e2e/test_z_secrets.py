"""Last in the alphabet: no secret is in anything that the runs before it wrote.

The file of the Temporal server's database holds all histories, heartbeats, failures, memos and search
attributes, and what was overwritten since.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

from temporalio.client import Client

from lab.lab import Lab
from tests.e2e.driver import in_failover, undo


def secrets(lab: Lab) -> Iterator[tuple[str, bytes]]:
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
    for file in private_files(centre.folder):
        for line in file.read_bytes().splitlines():
            if re.fullmatch(rb"[A-Za-z0-9+/=]{40,}", line):
                yield str(file), line


def private_files(folder: Path) -> list[Path]:
    """Private keys of the workers, of the appliances' SSH and VPN, and their shared tunnel keys."""
    names = ("*.key", "*host_ed25519", "*-ssh")
    found = [file for name in names for file in folder.rglob(name) if file.is_file()]
    assert len(found) >= 4
    return found


def written(folder: Path) -> list[Path]:
    """What the runs wrote, but for the appliances' own disks and the keys."""
    files = [f for f in folder.rglob("*") if f.is_file() and not {"keys"} & set(f.parts)]
    return [f for f in files if f.suffix == ".log" or "temporal" in f.parts]


async def test_no_secret_is_in_a_history_heartbeat_failure_or_log(lab: Lab, initech: Client) -> None:
    handle = await in_failover(initech, {"vm": "tps-01", "reason": "a reason to be found"})
    await undo(handle)
    files = written(lab.centre.folder)
    texts = {file: await asyncio.to_thread(file.read_bytes) for file in files}
    assert any(b"a reason to be found" in text for text in texts.values()), "the histories are not read"
    assert any(b"role provider serves" in text for text in texts.values()), "the logs are not read"
    searched = list(secrets(lab))
    assert len(searched) > 10
    found = [(name, file.name) for name, secret in searched for file, text in texts.items() if secret in text]
    assert found == []
