"""The outline of a function: its commands to Temporal, and what decides whether and when it gives them.

Each line is a statement. Conditions are kept as they are written; of a call only what tells one command from
another is kept, so that titles and other texts may change. What a name in a condition stands for is not
followed.
"""

import ast
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

SDK = {"asyncio", "workflow"}
OF_THE_SDK = {
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
OTHER = "..."

Function = ast.FunctionDef | ast.AsyncFunctionDef
Loop = ast.For | ast.AsyncFor
Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


@dataclass(frozen=True)
class Known:
    """Functions that give commands, by the ways in which they are named where they are used."""

    functions: frozenset[str] = frozenset()
    """`f` and `module.f`"""
    methods: frozenset[str] = frozenset()
    """`x.m`, whatever `x` is"""


def outline(function: Function, known: Known) -> list[str]:
    """Empty for a function that gives no command, by itself or through those that are known."""
    expressions = _Expressions(known)
    lines = _Statements(expressions).block(function.body)
    return lines if expressions.give else []


class _Statements:
    def __init__(self, expressions: "_Expressions") -> None:
        self._short, self._condition = expressions.short, expressions.condition

    def block(self, body: Sequence[ast.stmt]) -> list[str]:
        return [line for statement in body for line in self._statement(statement)]

    def _statement(self, node: ast.stmt) -> list[str]:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return []  # has an outline of its own
            case ast.If() | ast.While() | ast.For() | ast.AsyncFor():
                return self._guarded(node)
            case ast.With() | ast.AsyncWith():
                return self._with(node)
            case ast.Try() | ast.TryStar():
                return self._try(node)
            case ast.Match():
                return self._match(node)
            case ast.Return() | ast.Raise() | ast.Break() | ast.Continue() | ast.Assert():
                return [self._exit(node)]
        return [line] if (line := self._short(node)) else []

    def _guarded(self, node: ast.If | ast.While | Loop) -> list[str]:
        body, otherwise = self.block(node.body), _headed("else:", self.block(node.orelse))
        tested = node.iter if isinstance(node, Loop) else node.test
        if not (body or otherwise or self._short(tested)):
            return []
        target = f"{ast.unparse(node.target)} in " if isinstance(node, Loop) else ""
        word = {ast.If: "if", ast.While: "while"}.get(type(node), "for")
        return [f"{word} {target}{self._condition(tested)}:", *_indented(body), *otherwise]

    def _with(self, node: ast.With | ast.AsyncWith) -> list[str]:
        """To enter an asynchronous one may wait, even where it gives no command."""
        word = "async with" if isinstance(node, ast.AsyncWith) else "with"
        opened = [item.context_expr for item in node.items]
        head = f"{word} {', '.join(map(self._condition, opened))}:"
        body = self.block(node.body)
        if isinstance(node, ast.AsyncWith) or any(map(self._short, opened)):
            return [head, *_indented(body)]
        return body

    def _try(self, node: ast.Try | ast.TryStar) -> list[str]:
        body = self.block(node.body)
        handled = [(_caught(handler), self.block(handler.body)) for handler in node.handlers]
        ends = [*_headed("else:", self.block(node.orelse)), *_headed("finally:", self.block(node.finalbody))]
        if not (body or ends or any(lines for _, lines in handled)):
            return []
        return ["try:", *_indented(body), *(x for head, h in handled for x in (head, *_indented(h))), *ends]

    def _match(self, node: ast.Match) -> list[str]:
        lines = []
        for case in node.cases:
            guard = f" if {self._condition(case.guard)}" if case.guard else ""
            lines += [f"case {ast.unparse(case.pattern)}{guard}:", *_indented(self.block(case.body))]
        return [f"match {self._condition(node.subject)}:", *_indented(lines)]

    def _exit(self, node: ast.stmt) -> str:
        """That a function ends here decides about all that comes after; its words do not."""
        word = type(node).__name__.lower()
        match node:
            case ast.Assert(test=test):
                return f"{word} {self._condition(test)}"
            case ast.Return(value=ast.Constant(value=bool() | None as value)):
                return f"{word} {value}"
            case ast.Raise(exc=ast.expr() as error):
                return f"{word} {ast.unparse(error.func if isinstance(error, ast.Call) else error)}"
        return f"{word} {self._short(node)}".rstrip()


class _Expressions:
    """`give`: whether a command was met."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self.give = False

    def condition(self, node: ast.expr) -> str:
        """As it is written, with its commands in short."""
        return ast.unparse(_Shorten(self).visit(copy.deepcopy(node)))

    def short(self, node: ast.AST) -> str:
        """The commands in an expression, with what decides about them; empty if there are none."""
        match node:
            case ast.Call():
                return self._call(node)
            case ast.Name() | ast.Attribute() if self.gives(node):
                return _name(node)
        commands = self._inside(node)
        match node:
            case ast.Await(value=value):
                return f"await {commands or _waited_for(value)}"
            case _ if not commands:
                return ""
            case ast.Lambda():
                return f"lambda: {commands}"
            case ast.BoolOp(op=op, values=values):
                word = " and " if isinstance(op, ast.And) else " or "
                return f"({word.join(map(self.condition, values))})"
            case ast.IfExp(test=test, body=body, orelse=orelse):
                one, other = self.short(body) or OTHER, self.short(orelse) or OTHER
                return f"({one} if {self.condition(test)} else {other})"
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return f"[{self._comprehension(node)}]"
        return commands

    def _inside(self, *nodes: ast.AST) -> str:
        found = [self.short(child) for node in nodes for child in ast.iter_child_nodes(node)]
        return ", ".join(filter(None, found))

    def _call(self, node: ast.Call) -> str:
        first = node.args[0] if node.args else None
        if not self.gives(node.func, called=True):
            inside = self._inside(node)
            return f"{_name(node.func)}({inside})" if inside else ""
        name = _name(node.func)
        shown = [self._inside(node.func)]
        if name == "wait_condition" and first is not None:
            shown.append(self.condition(first))
        elif _tells(first, name):
            shown.append(ast.unparse(first))
        else:
            shown += [self.short(first)] if first else []
        shown += map(self.short, node.args[1:])
        for keyword in node.keywords:
            shown.append("timeout" if keyword.arg == "timeout" else self.short(keyword.value))
        return f"{name}({', '.join(filter(None, shown))})"

    def _comprehension(self, node: Comprehension) -> str:
        made = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        said = ", ".join(filter(None, map(self.short, made))) or OTHER
        for part in node.generators:
            said += f" for {ast.unparse(part.target)} in {self.condition(part.iter)}"
            said += "".join(f" if {self.condition(test)}" for test in part.ifs)
        return said

    def gives(self, node: ast.expr, called: bool = False) -> TypeGuard[ast.Name | ast.Attribute]:
        """Whether it is the name of what gives commands. One that is not called here is called elsewhere."""
        if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
            return False
        by_itself = _of_the_sdk(_name(node)) if isinstance(node, ast.Name) else node.attr in OF_HANDLES
        found = self._is_known(node) or (called and by_itself)
        self.give = self.give or found
        return found

    def _is_known(self, node: ast.Name | ast.Attribute) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self._known.functions
        if isinstance(node.value, ast.Name) and node.value.id in SDK:
            return _of_the_sdk(node.attr)
        return node.attr in self._known.methods or ast.unparse(node) in self._known.functions


class _Shorten(ast.NodeTransformer):
    def __init__(self, expressions: _Expressions) -> None:
        self._expressions = expressions

    def visit(self, node: ast.AST) -> ast.AST:
        is_call = isinstance(node, ast.Call)
        named = node.func if isinstance(node, ast.Call) else node
        if isinstance(named, ast.expr) and self._expressions.gives(named, called=is_call):
            return ast.Name(self._expressions.short(node))
        return super().visit(node)  # type: ignore[no-any-return]  # of the standard library, untyped


def _of_the_sdk(name: str) -> bool:
    return name in OF_THE_SDK or name.startswith(ACTIVITIES_AND_CHILDREN)


def _tells(first: ast.expr | None, name: str) -> TypeGuard[ast.expr]:
    """Whether an argument tells which command it is: `Step.HOLD_REPLICATION`, `Child.run`, a patch's id."""
    if isinstance(first, ast.Attribute) and isinstance(first.value, ast.Name):
        return first.value.id[:1].isupper()
    return isinstance(first, ast.Constant) and _of_the_sdk(name)


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return OTHER


def _waited_for(value: ast.expr) -> str:
    """Of what gives no command itself: a task, a child. What comes after it comes later."""
    return f"{ast.unparse(value.func)}()" if isinstance(value, ast.Call) else ast.unparse(value)


def _caught(handler: ast.ExceptHandler) -> str:
    return f"except {ast.unparse(handler.type)}:" if handler.type else "except:"


def _headed(head: str, lines: list[str]) -> list[str]:
    return [head, *_indented(lines)] if lines else []


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
