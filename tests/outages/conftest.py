"""The databases of the server's tests, for processes that really run."""

from tests.server.conftest import (
    cluster,
    config,
    database_config,
    online_keys,
    postgresql_config,
    postgresql_template,
    sqlite_config,
    sqlite_template,
)

__all__ = [
    "cluster",
    "config",
    "database_config",
    "online_keys",
    "postgresql_config",
    "postgresql_template",
    "sqlite_config",
    "sqlite_template",
]
