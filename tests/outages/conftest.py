"""The databases of the server's tests, for processes that really run."""

from tests.server.conftest import (
    config,
    database_config,
    online_keys,
    postgresql_config,
    sqlite_config,
)

__all__ = [
    "config",
    "database_config",
    "online_keys",
    "postgresql_config",
    "sqlite_config",
]
