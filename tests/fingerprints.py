"""The commands that workflow code gives, in their order and with what decides about them, read from the
source: `python -m tests.fingerprints` writes them to `workflows/fingerprints.json`.

Temporal replays a running workflow's history against the code that is deployed now. Code that gives other
commands, or in another order, stops every failover that is under way.
"""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.outline import Function, Known, outline

FOLDER = Path(__file__).resolve().parent.parent / "workflows"
FILE = FOLDER / "fingerprints.json"

Fingerprints = dict[str, dict[str, list[str]]]


@dataclass(frozen=True)
class _Found:
    module: str
    name: str
    """With its class, or the function around it."""
    node: Function
    within: ast.AST
    inner: frozenset[str]
    """Functions of its own and functions that it is handed: either may give commands."""

    @property
    def functions(self) -> set[str]:
        """How it is called as a function. Who makes an object calls `__init__` by the name of the class."""
        if isinstance(self.within, ast.Module):
            return {self.name, f"{self.module}.{self.name}"}
        if isinstance(self.within, ast.ClassDef) and self.node.name == "__init__":
            return {self.within.name, f"{self.module}.{self.within.name}"}
        return set()

    @property
    def methods(self) -> set[str]:
        return {self.node.name} if isinstance(self.within, ast.ClassDef) else set()


def sources() -> dict[str, str]:
    """The text of each file of `workflows`, by its name."""
    return {file.name: file.read_text() for file in sorted(FOLDER.glob("*.py"))}


def fingerprints(texts: Mapping[str, str]) -> Fingerprints:
    """By file and function: the outline of each that gives commands, by itself or through others."""
    functions = [f for file, text in texts.items() for f in _functions(ast.parse(text), Path(file).stem)]
    giving: list[_Found] = []
    while True:
        known = frozenset(name for f in giving for name in f.functions)
        methods = frozenset(name for f in giving for name in f.methods)
        outlines = [(f, outline(f.node, Known(known | f.inner, methods))) for f in functions]
        if giving == (giving := [f for f, lines in outlines if lines]):
            break
    found: Fingerprints = {}
    for function, lines in outlines:
        if lines:
            found.setdefault(f"{function.module}.py", {})[function.name] = lines
    return found


def _functions(
    node: ast.AST, module: str, name: str = "", inner: frozenset[str] = frozenset()
) -> Iterator[_Found]:
    for child in _definitions(node):
        inner_name = f"{name}.{child.name}".lstrip(".")
        seen = inner
        if not isinstance(child, ast.ClassDef):
            seen = inner | _handed(child) | {c.name for c in _definitions(child)}
            yield _Found(module, inner_name, child, node, seen)
        yield from _functions(child, module, inner_name, seen)


def _definitions(node: ast.AST) -> Iterator[Function | ast.ClassDef]:
    """Right in it, not in one another."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child
        else:
            yield from _definitions(child)


def _handed(function: Function) -> set[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return {a.arg for a in every if a.annotation and "Callable[" in ast.unparse(a.annotation)}


def write() -> None:
    """Keep what the source says now."""
    FILE.write_text(json.dumps(fingerprints(sources()), indent=1) + "\n")


if __name__ == "__main__":
    write()
