"""What the lab's machines need of systemd: which commands a unit starts, and in which environment."""

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Service:
    """One unit. `folders`: below /run."""

    name: str
    environment: dict[str, str]
    folders: tuple[str, ...]
    before: tuple[list[str], ...]
    command: list[str]


def read(file: Path) -> Service:
    """A unit file with a simple service in it."""
    settings: dict[str, list[str]] = {}
    section = ""
    for line in file.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif section == "Service" and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    pairs = (word.partition("=") for value in settings.get("Environment", ()) for word in shlex.split(value))
    [command] = settings["ExecStart"]
    return Service(
        file.stem,
        {name: value for name, _, value in pairs},
        tuple(folder for value in settings.get("RuntimeDirectory", ()) for folder in value.split()),
        tuple(shlex.split(value) for value in settings.get("ExecStartPre", ())),
        shlex.split(command),
    )
