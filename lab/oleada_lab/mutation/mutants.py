"""Mutants of one Python source: each differs from it by one small fault.

Works on the syntax tree, so a mutant always parses, and is named by what it changes, not
by its line: an explanation stays true when something above it moves. Left alone are
docstrings, annotations and decorators: a fault there is the type checker's to find.
"""

import ast
import difflib
from collections import Counter
from collections.abc import Collection, Iterator
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any, Final

from oleada_lab.mutation.operators import Change, changes

_BLOCKS: Final = frozenset({"body", "orelse", "finalbody", "handlers", "cases"})
_LEFT_ALONE: Final = frozenset({"annotation"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault.

    Attributes:
        file: Relative to the root of the run.
        line: Of the node that is changed.
        lines: First and last of the statement, or of the head of the block, that the node
            is part of: a test that runs one of them may notice.
        function: Qualified name of the outermost function; "" where a module or a class
            body runs, which happens once, at import.
        node: Place of the node in ``ast.walk`` of the tree.
        variant: Which of the changes to this node.
        diff: What goes and what comes, as ``ast.unparse`` writes it.
    """

    file: str
    line: int
    lines: tuple[int, int]
    function: str
    operator: str
    node: int
    variant: int
    diff: str

    @property
    def name(self) -> tuple[str, str, str, str]:
        """Return what an explanation names it by."""
        return self.file, self.function, self.operator, self.diff


@dataclass(frozen=True, slots=True)
class _Place:
    """A node that may be changed.

    Attributes:
        piece: The code that is shown with it; ``shown`` stands for the node there.
        bound_again: Names that the function binds more than once: without one of these
            statements it still runs, and does something else.
    """

    node: ast.AST
    piece: ast.AST
    shown: ast.AST
    lines: tuple[int, int]
    function: str
    bound_again: frozenset[str] = frozenset()


def mutants(source: str, file: str, annotations: Collection[str] = ()) -> list[Mutant]:
    """Return every mutant of *source*, in the order of its lines.

    Args:
        annotations: Names of type aliases to leave alone.

    Raises:
        SyntaxError: *source* is no Python.
    """
    tree = ast.parse(source)
    numbers = {id(node): number for number, node in enumerate(ast.walk(tree))}
    tree.body = [one for one in tree.body if _stored_name(one) not in annotations]
    found = []
    for place in _within(tree.body, "", "", frozenset()):
        line = getattr(place.node, "lineno", place.lines[0])
        number = numbers[id(place.node)]
        for variant, (operator, change) in enumerate(changes(place.node)):
            if _is_worthwhile(place, operator) and (diff := _difference(place, change)):
                one = Mutant(
                    file, line, place.lines, place.function, operator, number, variant, diff
                )
                found.append(one)
    return sorted(found, key=lambda one: (one.line, one.node, one.variant))


def mutated(source: str, mutant: Mutant) -> ast.Module:
    """Return the tree of *source* with the fault of *mutant* in it."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[mutant.node]
    _apply(tree, node, changes(node)[mutant.variant][1])
    return ast.fix_missing_locations(tree)


def _within(
    body: list[ast.stmt], within: str, function: str, bound: frozenset[str]
) -> Iterator[_Place]:
    """Yield every place in *body*; *function* is "" where import runs it."""
    for statement in body[_is_text(body[0]) :]:
        if isinstance(statement, ast.ClassDef):
            name = f"{within}{statement.name}."
            yield from _within(statement.body, name, function, bound)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _defaults(statement, function)
            name = function or f"{within}{statement.name}"
            yield from _within(statement.body, "", name, bound or _bound_again(statement))
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            yield from _statement(statement, function, bound)


def _defaults(statement: ast.FunctionDef | ast.AsyncFunctionDef, function: str) -> Iterator[_Place]:
    lines = (statement.lineno, statement.body[0].lineno - 1)
    for default in (*statement.args.defaults, *filter(None, statement.args.kw_defaults)):
        piece = ast.Expr(default)
        for node in ast.walk(default):
            yield _Place(node, piece, node, lines, function)


def _statement(statement: ast.stmt, function: str, bound: frozenset[str]) -> Iterator[_Place]:
    head = _head(statement)
    last = next((block[0].lineno - 1 for block in _blocks(statement)), statement.end_lineno or 0)
    if isinstance(statement, ast.Match):
        last = statement.lineno
    lines = (statement.lineno, max(statement.lineno, last))
    yield _Place(statement, head, head, lines, function, bound)
    for field, value in ast.iter_fields(statement):
        if field not in _BLOCKS | _LEFT_ALONE:
            for child in _nodes_of(value):
                yield _Place(child, head, child, lines, function)
    for case in getattr(statement, "cases", ()):
        yield from _case(case, function)
    for block in _blocks(statement):
        yield from _within(block, "", function, bound)


def _case(case: ast.match_case, function: str) -> Iterator[_Place]:
    piece = copy(case)
    piece.body = [_etc()]
    lines = (case.pattern.lineno, max(case.pattern.lineno, case.body[0].lineno - 1))
    yield _Place(case, piece, piece, lines, function)
    for child in _nodes_of([case.pattern, case.guard]):
        yield _Place(child, piece, child, lines, function)


def _stored_name(statement: ast.stmt) -> str:
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    return getattr(targets[0], "id", "")


def _nodes_of(value: Any) -> Iterator[ast.AST]:
    for child in value if isinstance(value, list) else [value]:
        if isinstance(child, ast.AST):
            yield from ast.walk(child)


def _head(statement: ast.stmt) -> ast.stmt:
    """Return *statement* without its blocks, and with its other nodes as they are."""
    head = copy(statement)
    for field in _BLOCKS & set(statement._fields):
        setattr(head, field, [_etc()] if field == "body" else [])
    return head


def _etc() -> ast.Expr:
    return ast.Expr(ast.Constant(...))


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for part in (statement, *getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        for field in ("body", "orelse", "finalbody"):
            if block := getattr(part, field, None):
                yield block


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str | type(...))
    )


def _bound_again(function: ast.AST) -> frozenset[str]:
    names = Counter(
        node.arg if isinstance(node, ast.arg) else node.id
        for node in ast.walk(function)
        if isinstance(node, ast.arg)
        or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    )
    return frozenset(name for name, count in names.items() if count > 1)


def _is_worthwhile(place: _Place, operator: str) -> bool:
    """Return whether the mutant is more than a name that is missing or a broken import."""
    if operator != "removed statement":
        return True
    if not place.function or _is_text(place.node):  # type: ignore[arg-type] # it is a statement
        return False
    if not isinstance(place.node, ast.Assign):
        return True
    stored = [node for target in place.node.targets for node in ast.walk(target)]
    return any(
        isinstance(node, ast.Attribute | ast.Subscript)
        or (isinstance(node, ast.Name) and node.id in place.bound_again)
        for node in stored
    )


def _difference(place: _Place, change: Change) -> str:
    """Return what *change* does to the piece, "" for nothing."""
    number = next(n for n, node in enumerate(ast.walk(place.piece)) if node is place.shown)
    around = ast.Module([_as_statement(deepcopy(place.piece))], [])
    before = ast.unparse(around)
    piece = around.body[0].cases[0] if isinstance(place.piece, ast.match_case) else around.body[0]  # type: ignore[attr-defined] # made so
    _apply(around, list(ast.walk(piece))[number], change)
    after = ast.unparse(ast.fix_missing_locations(around))
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return "\n".join(line.rstrip() for line in lines if line[0] in "-+")


def _as_statement(piece: ast.AST) -> ast.stmt:
    if isinstance(piece, ast.match_case):
        return ast.Match(ast.Name("_", ast.Load()), [piece])
    assert isinstance(piece, ast.stmt)  # noqa: S101 - our own piece
    return piece


def _apply(tree: ast.AST, node: ast.AST, change: Change) -> None:
    """Change *node* of *tree*, or put what takes its place where it was."""
    new = change(node)
    if new is node:
        return
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, field, new)
            elif isinstance(value, list):
                value[:] = [new if child is node else child for child in value]
