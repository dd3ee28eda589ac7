"""Which module may import which."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
OURS = "partial_failover"
ROOMS = {
    "appliance": set[str](),
    f"{OURS}.contracts": set[str](),
    f"{OURS}.settings": {f"{OURS}.contracts", f"{OURS}.connectors"},
    f"{OURS}.connectors": {f"{OURS}.contracts", f"{OURS}.settings"},
    f"{OURS}.temporal": {f"{OURS}.contracts", f"{OURS}.settings"},
    f"{OURS}.reports": {f"{OURS}.contracts"},
    "workflows": {f"{OURS}.contracts", f"{OURS}.temporal"},
    "activities": {f"{OURS}.contracts", f"{OURS}.connectors", f"{OURS}.settings", f"{OURS}.temporal"},
    f"{OURS}.cli": {OURS, "appliance", "worker"},
    "worker": {OURS, "activities", "workflows"},
}
"""Room → rooms that it may import, with all that is in them. What is not named of the package may import
all of it, and `appliance`."""
FORBIDDEN = {"worker": f"{OURS}.cli"}
"""A worker starts without the command line."""


def imported(file: Path) -> Iterator[str]:
    """The full name of each module that a file imports; of `from a import b` also `a.b`, a module perhaps."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str:
    """Its part of the package, or what is at the top."""
    return ".".join(module.split(".")[: 2 if module.startswith(f"{OURS}.") else 1])


def in_one_of(module: str, rooms: set[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def modules_of_the_product() -> Iterator[tuple[str, Path]]:
    rooms = (OURS, "activities", "workflows", "appliance")
    for file in [*ROOT.glob("*.py"), *(file for room in rooms for file in (ROOT / room).rglob("*.py"))]:
        yield ".".join(file.relative_to(ROOT).with_suffix("").parts), file


def test_imports_run_the_way_that_the_architecture_says() -> None:
    own = {room_of(module) for module, _ in modules_of_the_product()} | {"lab", "tests"}
    assert set(ROOMS) <= own
    wrong = []
    for module, file in modules_of_the_product():
        room = room_of(module)
        allowed = ROOMS.get(room, {OURS, "appliance"}) | {room}
        wrong += [
            f"{module}: {name}"
            for name in imported(file)
            if room_of(name) in own - {OURS}
            if not in_one_of(name, allowed) or in_one_of(name, {FORBIDDEN.get(room, "-")})
        ]
    assert not wrong


def test_nobody_imports_a_module_of_tests() -> None:
    """They are for pytest to run; what tests share has a module of its own, with a plain name."""
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in ROOT.glob("tests/**/test_*.py")
    }
    wrong = [
        f"{file.relative_to(ROOT)}: {name}"
        for room in ("tests", "lab")
        for file in (ROOT / room).rglob("*.py")
        for name in imported(file)
        if name in modules
    ]
    assert modules
    assert not wrong
