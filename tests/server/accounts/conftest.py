"""Passwords are hashed with little work here, so that a hundred attempts take no time."""

import pytest
from argon2 import PasswordHasher
from oleada_server.accounts import passwords


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id as in production, with its smallest parameters."""
    monkeypatch.setattr(
        passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    )
    passwords._nobody.cache_clear()
