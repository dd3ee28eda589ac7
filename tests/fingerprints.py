"""The commands that workflow code gives, in their order, read from the source: `python -m tests.fingerprints`
writes them to `workflows/fingerprints.json`.

Temporal replays a running workflow's history against the code that is deployed now. Code that gives other
commands, or in another order, stops every failover that is under way.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "workflows"
FILE = FOLDER / "fingerprints.json"

OF_THE_SDK = {
    "continue_as_new",
    "deprecate_patch",
    "execute_activity",
    "execute_child_workflow",
    "patched",
    "signal",
    "sleep",
    "start_activity",
    "start_child_workflow",
    "upsert_search_attributes",
    "wait_condition",
}
Commands = dict[str, list[str]]


def fingerprints() -> dict[str, Commands]:
    """By file and function: the commands that it gives, by itself or through coroutines of `workflows`."""
    trees = {file.name: ast.parse(file.read_text()) for file in sorted(FOLDER.glob("*.py"))}
    own = {n.name for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef)}
    found = {name: dict(_functions(tree, own | OF_THE_SDK)) for name, tree in trees.items()}
    return {name: functions for name, functions in found.items() if functions}


def _functions(tree: ast.AST, watched: set[str], within: str = "") -> Iterator[tuple[str, list[str]]]:
    for node in ast.iter_child_nodes(tree):
        name = f"{within}.{node.name}".lstrip(".") if isinstance(node, _NAMED) else within
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            commands := list(_commands(node, watched))
        ):
            yield name, commands
        yield from _functions(node, watched, name)


_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _commands(node: ast.AST, watched: set[str]) -> Iterator[str]:
    """In the order of the source; those of nested functions are their own."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _NAMED):
            continue
        if isinstance(child, ast.Call):
            yield from _command(child, watched)
        yield from _commands(child, watched)


def _command(call: ast.Call, watched: set[str]) -> Iterator[str]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name not in watched:
        return
    first = call.args[0] if call.args else None
    literal = isinstance(first, ast.Constant) or (isinstance(first, ast.Attribute) and _is_step(first))
    what = ast.unparse(first) if literal and first is not None else ""
    timer = any(k.arg == "timeout" for k in call.keywords)
    if name == "wait_condition" and not timer:
        return  # waits without a command
    yield f"{name}({what})"


def _is_step(attribute: ast.Attribute) -> bool:
    return isinstance(attribute.value, ast.Name) and attribute.value.id == "Step"


def write() -> None:
    """Keep what the source says now."""
    FILE.write_text(json.dumps(fingerprints(), indent=1) + "\n")


if __name__ == "__main__":
    write()
