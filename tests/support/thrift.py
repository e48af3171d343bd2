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
from werkzeug.routing import Rule

SCRYPT_N: Final = 2**4
"""For keys that a test makes: the file says its own cost, so reading one is as cheap."""


@contextmanager
def thrift() -> Iterator[None]:
    """Compile each URL rule once per process, and stretch a secret but a little.

    An app has some two hundred rules and is made anew for each test; werkzeug compiles
    two functions for each of them, from nothing but what is the key here.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", _compiled_once(Rule._compile_builder))
        patch.setattr(pkcs8, "SCRYPT_N", SCRYPT_N)
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr(passwords, "_HASHER", cheap)
        yield


def _compiled_once(compile_builder: Callable[..., Any]) -> Callable[..., Any]:
    kept: dict[object, Any] = {}

    def compiled(rule: Rule, append_unknown: bool = True) -> Any:
        defaults = tuple((rule.defaults or {}).items())
        key = (rule.rule, tuple(rule._trace), defaults, append_unknown)
        if key not in kept:
            kept[key] = compile_builder(rule, append_unknown)
        return kept[key]

    return compiled
