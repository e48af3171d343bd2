"""Rights in PostgreSQL for a server that does not own its tables; pure.

Triggers refuse any change of the audit trail, and who owns a table may drop its triggers.
So the owner (`oleada db upgrade`) and the role that the server works with are two.
"""

import re
from collections.abc import Iterator
from typing import Final

from oleada_server.audit.models import APPEND_ONLY
from oleada_server.errors import BadInputError

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def statements(role: str) -> Iterator[str]:
    """Yield what the owner of the database runs so that *role* can be the server's.

    It reads and writes every table, those of later upgrades too, and only adds to the trail.

    Raises:
        BadInputError: *role* is no plain name.
    """
    if not _NAME.fullmatch(role):
        raise BadInputError(
            f"{role[:80]!r} is no plain name of a role: small letters, digits, underscores.", "role"
        )
    tables = ", ".join(APPEND_ONLY)
    rights = "SELECT, INSERT, UPDATE, DELETE"
    yield f"GRANT USAGE ON SCHEMA public TO {role};"
    yield f"GRANT {rights} ON ALL TABLES IN SCHEMA public TO {role};"
    yield f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role};"
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {rights} ON TABLES TO {role};"
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {role};"
    yield f"REVOKE UPDATE, DELETE, TRUNCATE ON {tables} FROM {role};"
    yield f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {role};"
