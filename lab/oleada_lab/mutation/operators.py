"""What may be changed at one node of a syntax tree: the faults that people make.

Each operator is given a node and returns its changes. A change takes the node (of any
copy of the tree) and returns it, or the node that takes its place.
"""

import ast
from collections.abc import Callable, Iterator
from typing import Any, Final

Change = Callable[[Any], ast.AST]

COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
OPPOSITES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


def changes(node: ast.AST) -> list[tuple[str, Change]]:
    """Return what can be done to *node*: the operator's name and the change, in a fixed order."""
    return [found for kind, operator in _OPERATORS if isinstance(node, kind)
            for found in operator(node)]  # fmt: skip


def _comparison(node: ast.Compare) -> Iterator[tuple[str, Change]]:
    for place, operator in enumerate(node.ops):

        def change(found: ast.Compare, place: int = place, new: Any = operator) -> ast.AST:
            found.ops[place] = COMPARISONS[type(new)]()
            return found

        yield "comparison", change


def _boolean(node: ast.BoolOp) -> Iterator[tuple[str, Change]]:
    def change(found: ast.BoolOp) -> ast.AST:
        found.op = ast.Or() if isinstance(found.op, ast.And) else ast.And()
        return found

    yield "boolean", change
    for place in range(len(node.values)):

        def drop(found: ast.BoolOp, place: int = place) -> ast.AST:
            found.values.pop(place)
            return found.values[0] if len(found.values) == 1 else found

        yield "part of a condition removed", drop


def _arithmetic(node: ast.BinOp | ast.AugAssign) -> Iterator[tuple[str, Change]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and _names_type(node):
        yield "alternative removed", lambda found: found.left
        yield "alternative removed", lambda found: found.right
    elif type(node.op) in ARITHMETIC:

        def change(found: ast.BinOp | ast.AugAssign) -> ast.AST:
            found.op = ARITHMETIC[type(found.op)]()
            return found

        yield "arithmetic", change


def _without_not(node: ast.UnaryOp) -> Iterator[tuple[str, Change]]:
    if isinstance(node.op, ast.Not | ast.USub):
        yield "sign removed", lambda found: found.operand


def _constant(node: ast.Constant) -> Iterator[tuple[str, Change]]:
    def becomes(value: int) -> Change:
        return lambda found: ast.copy_location(ast.Constant(value), found)

    if isinstance(node.value, bool):
        yield "constant", becomes(not node.value)
    elif isinstance(node.value, int):
        yield "constant", becomes(node.value + 1)
        yield "constant", becomes(node.value - 1)


def _singleton(node: ast.MatchSingleton) -> Iterator[tuple[str, Change]]:
    if isinstance(node.value, bool):
        yield "constant", lambda found: ast.MatchSingleton(not found.value)


def _alternatives(node: ast.MatchOr) -> Iterator[tuple[str, Change]]:
    for place in range(len(node.patterns)):

        def drop(found: ast.MatchOr, place: int = place) -> ast.AST:
            found.patterns.pop(place)
            return found.patterns[0] if len(found.patterns) == 1 else found

        yield "alternative removed", drop


def _element(node: ast.Set) -> Iterator[tuple[str, Change]]:
    for place in range(len(node.elts) if len(node.elts) > 1 else 0):

        def drop(found: ast.Set, place: int = place) -> ast.AST:
            found.elts.pop(place)
            return found

        yield "alternative removed", drop


def _condition(_: ast.If | ast.While | ast.IfExp) -> Iterator[tuple[str, Change]]:
    def change(found: ast.If | ast.While | ast.IfExp) -> ast.AST:
        found.test = _negated(found.test)
        return found

    yield "negated condition", change


def _filter(node: ast.comprehension) -> Iterator[tuple[str, Change]]:
    for place in range(len(node.ifs)):

        def change(found: ast.comprehension, place: int = place) -> ast.AST:
            found.ifs[place] = _negated(found.ifs[place])
            return found

        yield "negated condition", change


def _case(node: ast.match_case) -> Iterator[tuple[str, Change]]:
    def never(found: ast.match_case) -> ast.AST:
        found.guard = ast.Constant(False)
        return found

    def always(found: ast.match_case) -> ast.AST:
        found.guard = None
        return found

    yield "removed case", never
    if node.guard is not None:
        yield "removed guard", always


def _returned(node: ast.Return) -> Iterator[tuple[str, Change]]:
    if node.value is not None and not _is_none(node.value):
        yield "return None", lambda found: ast.copy_location(ast.Return(ast.Constant(None)), found)


def _removed(_: ast.stmt) -> Iterator[tuple[str, Change]]:
    yield "removed statement", lambda found: ast.copy_location(ast.Pass(), found)


def _positional(node: ast.Call) -> Iterator[tuple[str, Change]]:
    if isinstance(node.func, ast.Name) and node.func.id in OPPOSITES:
        return  # their order means nothing
    for place in range(len(node.args) - 1):
        if any(isinstance(one, ast.Starred) for one in node.args[place : place + 2]):
            continue

        def swap(found: ast.Call, place: int = place) -> ast.AST:
            found.args[place : place + 2] = found.args[place + 1], found.args[place]
            return found

        yield "swapped arguments", swap


def _named(node: ast.Call) -> Iterator[tuple[str, Change]]:
    for place, keyword in enumerate(node.keywords):
        if keyword.arg is None:
            continue

        def leave_out(found: ast.Call, place: int = place) -> ast.AST:
            found.keywords.pop(place)
            return found

        yield "argument left out", leave_out


def _opposite(node: ast.Call) -> Iterator[tuple[str, Change]]:
    if isinstance(node.func, ast.Name) and (name := OPPOSITES.get(node.func.id)):

        def change(found: ast.Call) -> ast.AST:
            found.func = ast.copy_location(ast.Name(name, ast.Load()), found.func)
            return found

        yield "opposite function", change


def _negated(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    return ast.copy_location(ast.UnaryOp(ast.Not(), test), test)


def _names_type(node: ast.BinOp) -> bool:
    """Return whether ``A | B`` is of types, whose names are written ``LikeThis``."""
    names = [getattr(one, "attr", getattr(one, "id", "")) for one in ast.walk(node)]
    return any(name[:1].isupper() and not name.isupper() for name in names)


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


_REMOVABLE: Final = (
    ast.Expr, ast.Assign, ast.AugAssign, ast.Raise, ast.Assert, ast.Delete, ast.Break, ast.Continue,
)  # fmt: skip
_OPERATORS: Final[list[tuple[Any, Callable[[Any], Iterator[tuple[str, Change]]]]]] = [
    (ast.Compare, _comparison),
    (ast.BoolOp, _boolean),
    (ast.BinOp | ast.AugAssign, _arithmetic),
    (ast.UnaryOp, _without_not),
    (ast.Constant, _constant),
    (ast.MatchSingleton, _singleton),
    (ast.MatchOr, _alternatives),
    (ast.Set, _element),
    (ast.If | ast.While | ast.IfExp, _condition),
    (ast.comprehension, _filter),
    (ast.match_case, _case),
    (ast.Return, _returned),
    (_REMOVABLE, _removed),
    (ast.Call, _positional),
    (ast.Call, _named),
    (ast.Call, _opposite),
]
