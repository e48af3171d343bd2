"""Badges of the rail: how many rollouts wait for a decision that this person may make.

Violet, because somebody is waited for. Live pages are sent it with their heartbeat.
"""

from flask import g, render_template
from markupsafe import Markup

from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import Identity
from oleada_server.db import read_only
from oleada_server.rollouts import service as rollouts
from oleada_server.web import decision
from oleada_server.web.parts import NOT_READABLE


def waiting() -> int:
    """Return how many rollouts wait for the person of this request; 0 if it can not be read.

    The list of rollouts says what could not be read; a badge has no room for words.
    """
    person: Identity | None = g.get("identity")
    if person is None or not person.may(Role.OPERATOR):
        return 0
    try:
        found = [decision.need(one, person) for one in rollouts.list_waiting()]
    except NOT_READABLE:
        _begin_anew()
        return 0
    return sum(need is not None and need.is_yours for need in found)


def mark() -> Markup:
    """Return the badge of the rail's *Rollouts*; hidden where nothing waits."""
    return Markup(render_template("_badge.html", waiting=waiting()))  # noqa: S704 - a template of ours


def _begin_anew() -> None:
    try:
        read_only()
    except NOT_READABLE:
        return  # the database is away, and the page says so elsewhere
