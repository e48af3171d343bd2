"""Walks over source that is read as a tree, for rules that look at every file of the house."""

import ast
from collections.abc import Iterator


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield every statement within *node*, at any depth.

    Only statements hold statements, so expressions, most of a tree, are not looked into.
    """
    for name in node._fields:
        within = getattr(node, name)
        if not isinstance(within, list):
            continue
        for one in within:
            if isinstance(one, ast.stmt):
                yield one
            if isinstance(one, ast.stmt | ast.excepthandler | ast.match_case):
                yield from statements(one)
