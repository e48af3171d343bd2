"""What somebody reads who lacks the right to a page: which role it needs, and who has it."""

from dataclasses import dataclass
from typing import Final

from flask import current_app, g, request

from oleada_server.accounts import service
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import Identity, includes
from oleada_server.db import read_only
from oleada_server.web import status

NAMED_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class NoRight:
    """The role that is missing, the one that is there, and up to five people to ask."""

    needed: str
    own: str
    people: tuple[str, ...]


def lacking() -> NoRight | None:
    """Return what the reader lacks for the page that was asked for, None if nothing."""
    person: Identity | None = g.get("identity")
    view = current_app.view_functions.get(request.endpoint or "")
    needed = getattr(view, "oleada_needs", None)
    if person is None or not isinstance(needed, Role) or person.may(needed):
        return None
    read_only()
    able = [
        user.full_name
        for user in service.list_users()
        if user.disabled_at is None and includes(Role(user.role), needed)
    ]
    return NoRight(status.role(needed), status.role(person.role), tuple(able[:NAMED_MAX]))
