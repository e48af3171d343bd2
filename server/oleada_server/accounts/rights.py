"""Who is asking and what they may do; pure values, no database, no request.

A role includes others (:data:`INCLUDES`); a scope is open to every role that includes the
one it needs. An API token has the scopes it was made with, as far as the role of its user
still includes them. What is in no table is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from oleada_server.accounts.errors import RoleMissingError, ScopeMissingError
from oleada_server.accounts.models import Role

_OPERATOR: Final = frozenset({Role.VIEWER, Role.SUPPORT, Role.RELEASE_SIGNER, Role.OPERATOR})

INCLUDES: Final[Mapping[Role, frozenset[Role]]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.SUPPORT: frozenset({Role.VIEWER, Role.SUPPORT}),
    Role.AUDITOR: frozenset({Role.VIEWER, Role.AUDITOR}),
    Role.RELEASE_SIGNER: frozenset({Role.VIEWER, Role.RELEASE_SIGNER}),
    Role.OPERATOR: _OPERATOR,
    Role.APPROVER: _OPERATOR | {Role.APPROVER},
    Role.DEVICE_CA_ADMIN: frozenset({Role.VIEWER, Role.DEVICE_CA_ADMIN}),
    Role.USER_ADMIN: frozenset({Role.VIEWER, Role.AUDITOR, Role.USER_ADMIN}),
    Role.ADMIN: frozenset(Role),
}
"""Each role, and every role whose rights it has.

An operator may carry a bundle to the server as a release signer does, because what counts
is in its signatures; neither reads who the users are. Whoever supports subscribers acts on
one box at a time and plans nothing. An administrator has every right and
is still one person: the rules of a second person make no exception.
"""

GUARDED: Final = frozenset(
    {Role.RELEASE_SIGNER, Role.APPROVER, Role.DEVICE_CA_ADMIN, Role.USER_ADMIN, Role.ADMIN}
)
"""Roles that need a second factor (trust design 7), unless the setting only offers it."""

SCOPES: Final[Mapping[str, Role]] = {
    "accounts:read": Role.AUDITOR,
    "accounts:write": Role.USER_ADMIN,
    "actions:change": Role.SUPPORT,
    "actions:destroy": Role.OPERATOR,
    "actions:read": Role.SUPPORT,
    "actions:run": Role.SUPPORT,
    "audit:export": Role.AUDITOR,
    "audit:read": Role.VIEWER,
    "audit:settle": Role.AUDITOR,
    "devices:read": Role.VIEWER,
    "devices:revoke": Role.DEVICE_CA_ADMIN,
    "devices:write": Role.OPERATOR,
    "releases:read": Role.VIEWER,
    "releases:write": Role.RELEASE_SIGNER,
    "rollouts:approve": Role.APPROVER,
    "rollouts:read": Role.VIEWER,
    "rollouts:write": Role.OPERATOR,
    "security:read": Role.VIEWER,
    "security:write": Role.VIEWER,
}
"""Every scope, and the role that has it.

``security:`` is about its owner alone: second factors, browsers, tokens.
"""


def includes(has: Role, needed: Role) -> bool:
    """Return whether the role *has* gives the rights of *needed*."""
    return needed in INCLUDES[has]


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
        has_factor: Whether a second factor is enrolled.
        factor_at: When this session last proved a second factor; None for never.
        is_local: Whether the token lies in the server's own data directory, so that whoever
            holds it holds the server's keys as well.
    """

    user_id: int
    name: str
    full_name: str
    role: Role
    language: str
    zone: str
    has_password: bool = False
    scopes: frozenset[str] | None = None
    has_factor: bool = False
    factor_at: datetime | None = None
    is_local: bool = False

    @property
    def actor(self) -> str:
        """Return the actor of the audit trail."""
        return f"user:{self.name}"

    def may(self, role: Role) -> bool:
        """Return whether the role includes *role*."""
        return includes(self.role, role)

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
