"""What thousands of tests would pay again and again, paid once; nothing is proved less.

Processes that a test starts know nothing of this: they cost what they cost in the field.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from argon2 import PasswordHasher
from oleada_server.accounts import passwords
from oleada_store import pkcs8
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

SCRYPT_N: Final = 2**4
"""For keys that a test makes: the file says its own cost, so reading one is as cheap."""
STATEMENTS_MAX: Final = 4_000
"""Compiled SQL that a process keeps; all of the server's, on both databases, is fewer."""
OF_A_RULE: Final = ("_parts", "_trace", "_converters", "arguments")


@contextmanager
def thrift() -> Iterator[None]:
    """Compile URLs and SQL once per process, and stretch a secret but a little.

    An app and its engine are made anew for each test: some two hundred rules, and every
    statement, which are compiled from nothing but what are the keys here.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "compile", _rules_compiled_once(Rule.compile))
        compiled = _sql_compiled_once(ClauseElement._compile_w_cache)
        patch.setattr(ClauseElement, "_compile_w_cache", compiled)
        patch.setattr(pkcs8, "SCRYPT_N", SCRYPT_N)
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr(passwords, "_HASHER", cheap)
        yield


def _rules_compiled_once(compile_rule: Callable[[Rule], None]) -> Callable[[Rule], None]:
    kept: dict[object, tuple[dict[str, Any], Any, Any]] = {}

    def compiled(rule: Rule) -> None:
        assert rule.map is not None
        key = (
            rule.rule,
            rule.host if rule.map.host_matching else rule.subdomain,
            rule.map.host_matching,
            rule.merge_slashes,
            tuple((rule.defaults or {}).items()),
            tuple(rule.map.converters.items()),
        )
        if key not in kept:
            compile_rule(rule)
            of_rule = {name: getattr(rule, name) for name in OF_A_RULE}
            kept[key] = of_rule, rule._build.__func__, rule._build_unknown.__func__  # type: ignore[attr-defined]
            return
        of_rule, build, build_unknown = kept[key]
        rule.__dict__.update(of_rule)
        rule._build, rule._build_unknown = build.__get__(rule), build_unknown.__get__(rule)

    return compiled


class _Statements:
    """What any engine's cache would hold: the same SQL for every dialect of one kind."""

    def __init__(self) -> None:
        self._kept: LRUCache[Any, Any] = LRUCache(STATEMENTS_MAX)

    def get(self, key: tuple[Any, ...]) -> Any:
        return self._kept.get(_of_any_engine(*key))

    def __setitem__(self, key: tuple[Any, ...], statement: Any) -> None:
        self._kept[_of_any_engine(*key)] = statement


def _of_any_engine(dialect: Dialect, *rest: object) -> tuple[object, ...]:
    return type(dialect), getattr(dialect, "server_version_info", None), *rest


def _sql_compiled_once(compile_sql: Callable[..., Any]) -> Callable[..., Any]:
    statements = _Statements()

    def compiled(self: ClauseElement, dialect: Dialect, **options: Any) -> Any:
        if options["compiled_cache"] is not None:
            options["compiled_cache"] = statements
        return compile_sql(self, dialect, **options)

    return compiled
