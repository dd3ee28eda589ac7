"""The commands that workflow code gives to Temporal, in their order and with what decides about them, read
from the source: `python -m tests.fingerprints` writes them to `workflows/fingerprints.json`.

Temporal replays a running workflow's history against the code that is deployed now. Code that gives other
commands, or in another order, stops every failover that is under way.

Of each function that gives commands, by itself or through others, these statements are kept: those that give
them or wait, those that end it, and the conditions and blocks around both. Words are left out, so titles and
messages may change. What a name in a condition stands for is not followed.
"""

import ast
import copy
import json
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "workflows"
FILE = FOLDER / "fingerprints.json"

SDK = {
    "TaskGroup",
    "continue_as_new",
    "create_task",
    "deprecate_patch",
    "ensure_future",
    "gather",
    "patched",
    "shield",
    "sleep",
    "timeout",
    "timeout_at",
    "upsert_memo",
    "upsert_search_attributes",
    "wait",
    "wait_condition",
    "wait_for",
}
"""Commands, timers, and what decides the order of commands: waits, and branches side by side."""
ACTIVITIES_AND_CHILDREN = ("execute_", "start_")
OF_HANDLES = {"call_later", "cancel", "execute_operation", "signal", "start_operation"}
"""Methods of tasks, children, clients and the loop that are commands."""

Fingerprints = dict[str, dict[str, list[str]]]
Function = ast.FunctionDef | ast.AsyncFunctionDef
WAITS = ast.Await | ast.AsyncWith | ast.AsyncFor
EXITS = ast.Return | ast.Raise | ast.Break | ast.Continue | ast.Assert


def sources() -> dict[str, str]:
    """The text of each file of `workflows`, by its name."""
    return {file.name: file.read_text() for file in sorted(FOLDER.glob("*.py"))}


def fingerprints(texts: Mapping[str, str]) -> Fingerprints:
    """By file and function: the outline of each that gives commands."""
    functions = [(file, *f) for file, text in texts.items() for f in _functions(ast.parse(text))]
    known, before = set[str](), None
    while known != before:
        before = known
        giving = [f for f in functions if _Outline(known | _handed(f[2])).gives(*f[2].body)]
        known = {called for file, name, _ in giving for called in _called(Path(file).stem, name)}
    outlines: Fingerprints = {}
    for file, name, function in giving:
        outlines.setdefault(file, {})[name] = _Outline(known | _handed(function)).of(function)
    return outlines


def _functions(node: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, Function]]:
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, Function):
            yield f"{prefix}{child.name}", child


def _called(module: str, name: str) -> set[str]:
    """How it is named where it is called: a function by itself or with its module, a method whatever has it.
    Who makes an object calls `__init__` by the name of the class."""
    of, _, last = name.removesuffix(".__init__").rpartition(".")
    return {f".{last}"} if of else {last, f"{module}.{last}"}


def _handed(function: Function) -> set[str]:
    """Functions that it is handed: any of them may give commands."""
    arguments = [node for node in ast.walk(function) if isinstance(node, ast.arg) and node.annotation]
    return {a.arg for a in arguments if a.annotation and "Callable[" in ast.unparse(a.annotation)}


class _Outline(ast.NodeTransformer):
    """`known`: functions that give commands, as `_called` names them."""

    def __init__(self, known: Set[str]) -> None:
        self._known = known

    def of(self, function: Function) -> list[str]:
        """Line by line."""
        body = [s for statement in function.body if (s := self.visit(copy.deepcopy(statement)))]
        return [line for line in ast.unparse(ast.Module(body, [])).splitlines() if line]

    def gives(self, *nodes: ast.AST) -> bool:
        """Whether commands are given or waited for in any of them."""
        return any(self._is_command(inner) for node in nodes for inner in ast.walk(node))

    def _is_command(self, node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                return _of_the_sdk(name) or name in OF_HANDLES
            case ast.Attribute(value=ast.Name(id="steps")):
                return True  # one that is named is called sooner or later
            case ast.Name(id=name, ctx=ast.Load()):
                return name in self._known  # one that is not called here is called elsewhere
            case ast.Attribute(attr=name, ctx=ast.Load()):
                return f".{name}" in self._known or ast.unparse(node) in self._known
        return isinstance(node, WAITS)

    def generic_visit(self, node: ast.AST) -> Any:  # Any: None takes a statement out, which typeshed forgets
        super().generic_visit(node)
        if not isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            return node
        block = getattr(node, "body", None)
        if isinstance(block, list) and not block:
            block.append(ast.Pass())
        is_part = not isinstance(node, ast.stmt)
        return node if is_part or self.gives(node) or _ends(node) else None

    def visit_Return(self, node: ast.Return) -> ast.Return:
        """Of a value that only tells something, nothing is kept."""
        self.generic_visit(node)
        decides = isinstance(node.value, ast.Constant) and not isinstance(node.value.value, str)
        if node.value and not decides and not self.gives(node.value):
            node.value = None
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        """Which error decides about what comes after, its words do not."""
        return ast.Raise(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)

    def visit_Call(self, node: ast.Call) -> ast.Call:
        """The name of a patch or an activity stays; data that is handed over does not."""
        name, first = _name(node.func), node.args[0] if node.args else None
        super().generic_visit(node)
        if _of_the_sdk(name) and isinstance(first, ast.Constant):
            node.args[0] = first
        if name[:1].isupper() and not self.gives(node):
            node.args, node.keywords = [], []
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.Compare:
        """A word that is compared decides."""
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        """Words."""
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        """Words."""
        return node if self.gives(node) else ast.Constant("")


def _ends(node: ast.AST) -> bool:
    return any(isinstance(inner, EXITS) for inner in ast.walk(node))


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _of_the_sdk(name: str) -> bool:
    return name in SDK or name.startswith(ACTIVITIES_AND_CHILDREN)


def write() -> None:
    """Keep what the source says now."""
    FILE.write_text(json.dumps(fingerprints(sources()), indent=1) + "\n")


if __name__ == "__main__":
    write()
