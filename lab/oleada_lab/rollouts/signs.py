"""Turns every sign of the decision core round, one at a time: which row of the table notices?

A sign is a comparison, its edge, a plus or minus, a minimum or maximum. The code of the
living function is exchanged, the rows are played, and the first that goes otherwise says
so; what no row notices is listed, with its reason where one is known (``explained.py``).
Left alone is what refuses facts that can not be, and what words a reason: neither decides.
"""

import ast
import importlib
import inspect
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import _lru_cache_wrapper
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, Final

from oleada_lab.kept_lines import KeptLines

CORE: Final = (
    "plan", "evidence.judge", "evidence.eprocess", "evidence.bounds", "evidence.control",
    "evidence.slow_start", "evidence.counts", "evidence.maturity",
)  # fmt: skip
PACKAGE: Final = "oleada_server.rollouts"
NOTICED: Final = "noticed by"
UNNOTICED: Final = ""
KEEPERS: Final = (PACKAGE, "oleada_lab.rollouts")
"""Where answers are kept that a turned sign would change."""
CPU_S_MAX: Final = 20
"""For one row: none takes a tenth of it as long as the core is whole."""
TURNED: Final[Mapping[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
EDGES: Final[Mapping[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
}  # fmt: skip
UNDECIDED: Final = frozenset(
    {"__post_init__", "percent", "in_words", "harm", "unwatched", "undecided", "_hours_in_words"}
)
OPPOSITES: Final = {"min": "max", "max": "min"}
Rows = Mapping[str, Callable[[], Any]]
"""By name, what plays a row and returns how it went."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign: *what* it becomes, in which *function* of which *module*, at which *line*.

    *nth* counts from 1 those of a function that read alike.
    """

    module: str
    function: str
    line: int
    what: str
    nth: int = 1

    @property
    def name(self) -> str:
        """Return what names it as long as its function reads the same."""
        again = f" ({self.nth})" if self.nth > 1 else ""
        return f"{self.module}.{self.function}: {self.what}{again}"

    def __str__(self) -> str:
        return f"{self.name}, line {self.line}"


class _EndlessError(Exception):
    """A row does not come to an end."""


def signs(module: str) -> Iterator[tuple[Sign, ast.Module]]:
    """Yield each sign of *module*, and the module's tree with that sign turned."""
    source = inspect.getsource(importlib.import_module(f"{PACKAGE}.{module}"))
    tree = ast.parse(source)
    for name, function in _functions(tree, ""):
        alike: Counter[str] = Counter()
        for node in list(ast.walk(function)):
            for what, turn in _turns(node):
                kept = {
                    name: list(value) if isinstance(value, list) else value
                    for name, value in vars(node).items()
                }
                turn(node)
                line = getattr(node, "lineno", function.lineno)
                alike[what] += 1
                yield Sign(module, name, line, what, alike[what]), ast.fix_missing_locations(tree)
                vars(node).update(kept)


def judge(
    rows: Rows, modules: tuple[str, ...] = CORE, kept: KeptLines | None = None, whole: str = ""
) -> Iterator[tuple[Sign, str | None]]:
    """Yield each sign of *modules* with the first row that notices it; None if none does.

    Args:
        kept: Signs that were judged before; each is added as soon as it is.
        whole: Names what their verdict depends on beside themselves.
    """
    lines = KeptLines(None, NOTICED) if kept is None else kept
    usual: dict[str, Any] = {}
    for module in modules:
        for sign, tree in signs(module):
            name = f"{sign.name}: {whole}"
            if (by := lines.get(name)) is None:
                usual = usual or {one: row() for one, row in rows.items()}
                with _planted(importlib.import_module(f"{PACKAGE}.{module}"), sign.function, tree):
                    found = (one for one in rows if _differs(rows[one], usual[one]))
                    by = next(found, UNNOTICED)
                lines.add(name, by)
            yield sign, by or None


def _differs(row: Callable[[], Any], usual: Any) -> bool:
    try:
        with _limited():
            return bool(row() != usual)
    except (Exception, RecursionError):  # a core that crashes, or never ends, is noticed
        return True


@contextmanager
def _limited() -> Iterator[None]:
    def end(_number: int, _frame: FrameType | None) -> None:
        raise _EndlessError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S_MAX)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def _planted(module: ModuleType, name: str, tree: ast.Module) -> Iterator[None]:
    """Let the function *name* of *module* run as in *tree* meanwhile."""
    found = {code.co_qualname: code for code in _codes(compile(tree, str(module.__file__), "exec"))}
    living = _living(module, name)
    before = living.__code__
    living.__code__ = found[name]
    _forget()
    try:
        yield
    finally:
        living.__code__ = before
        _forget()


def _living(module: ModuleType, name: str) -> FunctionType:
    owner: Any = module
    for part in name.split("."):
        owner = inspect.getattr_static(owner, part)
    for attribute in ("fget", "__func__", "__wrapped__"):
        owner = getattr(owner, attribute, None) or owner
    assert isinstance(owner, FunctionType), name  # noqa: S101 - what else has signs
    return owner


def _forget() -> None:
    """Forget every answer of the core, and of the rows, that is kept."""
    for name, module in sys.modules.items():
        if name.startswith(KEEPERS):
            for one in vars(module).values():
                if isinstance(one, _lru_cache_wrapper):
                    one.cache_clear()


def _codes(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _codes(one)


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield functions and methods by name; what is inside a function belongs to it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef) and child.name not in UNDECIDED:
            yield f"{prefix}{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")


def _turns(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Yield what can be turned at *node*: how it reads then, and what does it."""
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                for word, table in (("turned", TURNED), ("edge", EDGES)):
                    if (new := table.get(type(operator))) is not None:
                        yield _said(node, word), _replaced("ops", place, new())
        case ast.BinOp() | ast.AugAssign() | ast.BoolOp() if type(node.op) in TURNED:
            yield _said(node, "turned"), _replaced("op", None, TURNED[type(node.op)]())
        case ast.Call(func=ast.Name(id=name)) if name in OPPOSITES:
            opposite = ast.Name(OPPOSITES[name], ast.Load())
            yield _said(node, "turned"), _replaced("func", None, opposite)
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            plus = ast.UAdd() if isinstance(node.op, ast.USub) else None
            yield _said(node, "turned"), _unsigned(plus)
        case _:
            pass


def _said(node: ast.AST, word: str) -> str:
    return f"{ast.unparse(node)}: {word}"


def _replaced(name: str, place: int | None, new: ast.AST) -> Callable[[Any], None]:
    def turn(node: Any) -> None:
        if place is None:
            setattr(node, name, new)
        else:
            getattr(node, name)[place] = new

    return turn


def _unsigned(plus: ast.UAdd | None) -> Callable[[Any], None]:
    def turn(node: Any) -> None:
        if plus is not None:
            node.op = plus
        else:  # not not, which is what it was without the sign
            node.operand = ast.UnaryOp(ast.Not(), node.operand)

    return turn
