"""Which module may import which."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent


def imported(file: Path) -> Iterator[str]:
    """The full name of each module that a file imports; of `from a import b` also `a.b`, a module perhaps."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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
