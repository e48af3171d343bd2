"""Who is asking and what they may do; pure values, no database, no request.

Roles include the ones before them; a scope is open to a role and everything above it.
An API token has the scopes it was made with, as far as the role of its user still
includes them.
"""

from dataclasses import dataclass

from oleada_server.accounts.errors import RoleMissingError, ScopeMissingError
from oleada_server.accounts.models import Role

RANK = {role: rank for rank, role in enumerate(Role)}

SCOPES = {
    "accounts:read": Role.ADMIN,
    "accounts:write": Role.ADMIN,
    "audit:read": Role.VIEWER,
    "devices:read": Role.VIEWER,
    "devices:write": Role.OPERATOR,
    "releases:read": Role.VIEWER,
    "releases:write": Role.OPERATOR,
    "rollouts:approve": Role.APPROVER,
    "rollouts:read": Role.VIEWER,
    "rollouts:write": Role.OPERATOR,
}
"""Every scope, and the lowest role that has it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The person behind a request.

    Attributes:
        user_id: Row of the user.
        name: As typed to sign in; the audit trail says ``user:<name>``.
        language: Tag of the language of pages, such as ``es``.
        zone: IANA name of the zone that times are shown in.
        scopes: Of the API token; None for a browser, whose rights are its role's.
        has_password: Whether a password was set.
    """

    user_id: int
    name: str
    full_name: str
    role: Role
    language: str
    zone: str
    has_password: bool = False
    scopes: frozenset[str] | None = None

    @property
    def actor(self) -> str:
        """Return the actor of the audit trail."""
        return f"user:{self.name}"

    def may(self, role: Role) -> bool:
        """Return whether the role includes *role*."""
        return RANK[self.role] >= RANK[role]

    def may_scope(self, scope: str) -> bool:
        """Return whether *scope* is given by the role and, with a token, by the token."""
        in_token = self.scopes is None or scope in self.scopes
        return in_token and self.may(SCOPES[scope])


def demand_role(identity: Identity, role: Role) -> None:
    """Let *identity* pass if it has *role*.

    Raises:
        RoleMissingError: It has not, or it is a token: tokens pass by scope only.
    """
    if identity.scopes is not None or not identity.may(role):
        raise RoleMissingError(role, identity.role)


def demand_scope(identity: Identity, scope: str) -> None:
    """Let *identity* pass if it has *scope*.

    Raises:
        RoleMissingError: The role of the person does not include it.
        ScopeMissingError: The token was made without it.
    """
    if not identity.may(SCOPES[scope]):
        raise RoleMissingError(SCOPES[scope], identity.role)
    if not identity.may_scope(scope):
        raise ScopeMissingError(scope)
