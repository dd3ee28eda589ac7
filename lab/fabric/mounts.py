"""Mounting by system call: mount(8) looks sources up by name, and here a name may already be hidden."""

import ctypes
import os
from pathlib import Path

_BIND = 4096
_RECURSIVE = 16384
_LIBC = ctypes.CDLL(None, use_errno=True)


def tmpfs(target: Path) -> None:
    """An empty file system over `target`."""
    _mount(b"tmpfs", target, b"tmpfs", 0, b"mode=755")


def bind(source: int, target: Path) -> None:
    """The open folder `source` (a descriptor) also at `target`, which is made if it is not there."""
    target.mkdir(parents=True, exist_ok=True)
    _mount(f"/proc/self/fd/{source}".encode(), target, None, _BIND | _RECURSIVE)


def over(source: int, target: Path) -> None:
    """The files of the open folder `source` as if they lay in `target`, which can only be read then."""
    lower = f"lowerdir=/proc/self/fd/{source}:{target}".encode()
    _mount(b"overlay", target, b"overlay", 0, lower)


def _mount(source: bytes, target: Path, kind: bytes | None, flags: int, options: bytes | None = None) -> None:
    if _LIBC.mount(source, os.fsencode(target), kind, flags, options):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))
