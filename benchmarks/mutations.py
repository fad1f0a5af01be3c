"""The small changes that can be made to a module: what `mutants.py` draws from.

A comparison, a sum, a number, a text or a truth becomes another, a condition its opposite; a statement, an argument
with a name or a part of an `and` goes; nothing is returned. Left as they are: docstrings, annotations, decorators, what
is logged, texts with blanks (words for people), and what is within f-strings, whose places Python before 3.12 does not
tell.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

_OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.And: ast.Or, ast.Or: ast.And,
    ast.Break: ast.Continue, ast.Continue: ast.Break,
}  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """One change.

    Attributes:
        name: the module's path within the package.
        line: where it is.
        before: what stood there, and in which line of the code.
        after: what stands there now.
        text: the module with the change.
        number: of as many such changes to such a line, this one.
    """

    name: str
    line: int
    before: str
    after: str
    text: str = field(repr=False)
    number: int = 1

    def __str__(self) -> str:
        before, after = self.before, self.after
        alike = next((place for place, (one, other) in enumerate(zip(before, after)) if one != other), 0)
        start = alike - 30 if alike > 50 else 0  # of a long call, what goes from it
        cut = [f"{'…' if start else ''}{each[start : start + 100]}" for each in (before, after)]
        return f"{self.name}:{self.line}  {cut[0]}  →  {cut[1]}"

    def lot(self, seed: int) -> str:
        """Where it stands among all in a draw."""
        drawn = f"{seed}\x00{self.name}\x00{self.before}\x00{self.after}\x00{self.number}"
        return hashlib.sha256(drawn.encode()).hexdigest()


def mutations_of(name: str, text: str) -> Iterator[Mutation]:
    """All changes to a module."""
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    source, seen = text.encode(), Counter[str]()
    for node, others in _changed(ast.parse(text)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        before = ast.unparse(node)
        for other in others:
            after = ast.unparse(other)
            put = f"({after})" if isinstance(other, ast.expr) else after
            seen[f"{before}\x00{after}"] += 1
            changed = (source[:start] + put.encode() + source[end:]).decode()
            try:
                compile(changed, name, "exec")
            except SyntaxError:  # such as a type that `except` or a pattern cannot have in brackets
                continue
            yield Mutation(name, node.lineno, before, after, changed, seen[f"{before}\x00{after}"])


def _changed(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, list[ast.expr | ast.stmt]]]:
    if isinstance(node, (ast.expr, ast.stmt)):
        others = list(_others(node))
        if others:
            yield node, others
    for child in _looked_at(node):
        yield from _changed(child)


def _looked_at(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.JoinedStr) or _is_said(node):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "ctx"):
            continue
        for child in value if isinstance(value, list) else [value]:
            docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not docstring:
                yield child


def _is_said(node: ast.AST) -> bool:
    """What is logged; `__all__`; what only tools that look at types read."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func).startswith("logger.")
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    return isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("Literal", "Union", "Optional", "Callable")


def _others(node: ast.expr | ast.stmt) -> Iterator[ast.expr | ast.stmt]:
    """What may stand in the place of a node."""
    if _is_said(node):
        return
    if isinstance(node, ast.Constant):
        yield from _constants(node.value)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield ast.Compare(node.left, [_OTHER[type(node.ops[0])]()], node.comparators)
        if isinstance(node.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE)):
            yield ast.UnaryOp(ast.Not(), node)
    elif isinstance(node, ast.Compare):
        for at, op in enumerate(node.ops):
            yield ast.Compare(node.left, [*node.ops[:at], _OTHER[type(op)](), *node.ops[at + 1 :]], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(_OTHER[type(node.op)](), node.values)
        for at in range(len(node.values)):
            yield ast.BoolOp(node.op, node.values[:at] + node.values[at + 1 :])
    elif isinstance(node, ast.BinOp) and type(node.op) in _OTHER:
        yield ast.BinOp(node.left, _OTHER[type(node.op)](), node.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
        for at, part in enumerate(node.generators):
            if part.ifs:
                whole = ast.comprehension(part.target, part.iter, [], part.is_async)
                yield type(node)(node.elt, [*node.generators[:at], whole, *node.generators[at + 1 :]])
    elif isinstance(node, ast.Call):
        for at, keyword in enumerate(node.keywords):
            if keyword.arg:
                yield ast.Call(node.func, node.args, node.keywords[:at] + node.keywords[at + 1 :])
    elif isinstance(node, ast.Return):
        if node.value and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Raise):
        if node.exc and not ast.unparse(node.exc).startswith("AssertionError"):  # stands where nothing ever comes
            yield ast.Pass()
    elif isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield ast.Pass()
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield _OTHER[type(node)]()


def _constants(value: object) -> Iterator[ast.expr]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, (int, float)):
        yield ast.Constant(value * 2 if abs(value) >= 10 else value + 1)
    elif isinstance(value, str) and " " not in value:
        yield ast.Constant(f"{value}XX")
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"XX")
