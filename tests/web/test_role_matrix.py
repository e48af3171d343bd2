"""Who may ask for what: every route of the console and REST, by every role, really requested.

A route that is missing here fails the test: whoever adds one says who may use it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import INCLUDES
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.enrolment import pki
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tests.web.forms import csrf_of, use_link
from tests.web.sample import add_named

ANYBODY = None
NO_ROLE = "none"
"""The door opens to a box's claim token or certificate, and to no person."""
VIEWER, OPERATOR, APPROVER = Role.VIEWER, Role.OPERATOR, Role.APPROVER
AUDITOR, SIGNER, USERS = Role.AUDITOR, Role.RELEASE_SIGNER, Role.USER_ADMIN
DEVICE_CA, SUPPORT = Role.DEVICE_CA_ADMIN, Role.SUPPORT
REASON = {"reason": "a reason"}
NO_WAVES = {"format": "oleada.waves/1", "rollout": "R-999", "threshold": 2, "may_sign": [],
            "waves": []}  # fmt: skip
PLAN = {
    "hardware_model": "VX-410",
    "version": "9.9.9",
    "waves": [{"name": "Everyone", "share_until": 1.0}],
}


@dataclass(frozen=True, slots=True)
class Row:
    """A request, and the role that it needs; None is anybody."""

    method: str
    path: str
    least: Role | str | None
    json: dict[str, Any] | None = None
    bundle: bool = False

    def lets_in(self, role: Role | None) -> bool:
        """Return whether somebody with *role* is let in."""
        return self.least is ANYBODY or (role is not None and self.least in INCLUDES[role])


# What is asked for does not exist wherever asking could change something.
MATRIX = [
    Row("GET", "/", ANYBODY),
    Row("GET", "/healthz", ANYBODY),
    Row("GET", "/static/mark.svg", ANYBODY),
    Row("GET", "/tuf/timestamp.json", ANYBODY),
    Row("GET", "/tuf/targets/VX-410/aa.1.0.0.img", ANYBODY),
    Row("GET", "/artifacts/" + "0" * 64, ANYBODY),
    Row("POST", "/device/v1/enrol", ANYBODY, {"token": "x", "serial": "y", "csr_pem": "z"}),
    Row("PUT", "/device/v1/uploads/none/log.txt", NO_ROLE),
    Row("GET", "/.well-known/est/cacerts", ANYBODY),
    Row("POST", "/.well-known/est/simpleenroll", NO_ROLE),
    Row("POST", "/.well-known/est/simplereenroll", NO_ROLE),
    Row("GET", "/sign-in", ANYBODY),
    Row("POST", "/sign-in", ANYBODY),
    Row("GET", "/sign-in/link/none", ANYBODY),
    Row("POST", "/sign-in/link/none", ANYBODY),
    Row("POST", "/preferences", ANYBODY),
    Row("GET", "/password", VIEWER),
    Row("POST", "/password", VIEWER),
    Row("GET", "/settings", VIEWER),
    Row("GET", "/help", VIEWER),
    Row("GET", "/search?q=nothing", VIEWER),
    Row("GET", "/fleet", VIEWER),
    Row("GET", "/live/fleet", VIEWER),
    Row("GET", "/devices", VIEWER),
    Row("GET", "/devices/AAAA00000000", VIEWER),
    Row("GET", "/devices/AAAA00000000/why", VIEWER),
    Row("GET", "/devices/why?box=AAAA00000000", VIEWER),
    Row("GET", "/live/devices/AAAA00000000", VIEWER),
    Row("GET", "/devices/AAAA00000000/revoke", DEVICE_CA),
    Row("POST", "/devices/AAAA00000000/revoke", DEVICE_CA),
    Row("GET", "/devices/AAAA00000000/left-alone", OPERATOR),
    Row("POST", "/devices/AAAA00000000/left-alone", OPERATOR),
    Row("POST", "/devices/AAAA00000000/left-alone/lift", OPERATOR),
    Row("GET", "/health", VIEWER),
    Row("GET", "/health/VX-410", VIEWER),
    Row("GET", "/devices/AAAA00000000/diagnosis", VIEWER),
    Row("POST", "/devices/AAAA00000000/diagnosis", SUPPORT),
    Row("POST", "/devices/AAAA00000000/diagnosis/check", SUPPORT),
    Row("POST", "/devices/AAAA00000000/diagnosis/stop", SUPPORT),
    Row("GET", "/devices/AAAA00000000/do/ip_ping", SUPPORT),
    Row("POST", "/devices/AAAA00000000/do/ip_ping", SUPPORT),
    Row("POST", "/devices/AAAA00000000/diagnosis/run", SUPPORT),
    Row("POST", "/devices/AAAA00000000/diagnosis/cancel/none", SUPPORT),
    Row("GET", "/devices/AAAA00000000/diagnosis/files/none/log.txt", SUPPORT),
    Row("GET", "/releases", VIEWER),
    Row("POST", "/releases", SIGNER),
    Row("POST", "/releases/check", SIGNER),
    Row("GET", "/releases/VX-410/5.8.2", VIEWER),
    Row("GET", "/releases/VX-410/5.8.2/withdraw", SIGNER),
    Row("POST", "/releases/VX-410/5.8.2/withdraw", SIGNER),
    Row("GET", "/audit", VIEWER),
    Row("GET", "/audit.csv", VIEWER),
    Row("GET", "/audit/chain", VIEWER),
    Row("GET", "/audit/heads.jsonl", AUDITOR),
    Row("GET", "/audit/sightings", VIEWER),
    Row("POST", "/audit/sightings/999/settle", AUDITOR),
    Row("GET", "/users", AUDITOR),
    Row("POST", "/users", USERS),
    Row("GET", "/users/nobody", AUDITOR),
    Row("POST", "/users/nobody/role", USERS),
    Row("POST", "/users/nobody/link", USERS),
    Row("POST", "/users/nobody/disable", USERS),
    Row("POST", "/users/nobody/enable", USERS),
    Row("POST", "/users/nobody/reset-factors", USERS),
    Row("GET", "/asked", VIEWER),
    Row("POST", "/asked/999/confirm", VIEWER),
    Row("POST", "/asked/999/decline", VIEWER),
    Row("GET", "/keys", AUDITOR),
    Row("POST", "/keys/owner", USERS),
    Row("POST", "/keys/asked/999/confirm", USERS),
    Row("POST", "/keys/asked/999/decline", USERS),
    Row("GET", "/second-factor", VIEWER),
    Row("POST", "/second-factor", VIEWER),
    Row("POST", "/second-factor/ask", VIEWER),
    Row("GET", "/security", VIEWER),
    Row("GET", "/security/app", VIEWER),
    Row("POST", "/security/app", VIEWER),
    Row("POST", "/security/passkeys/ask", VIEWER),
    Row("POST", "/security/passkeys", VIEWER),
    Row("POST", "/security/factors/999/remove", VIEWER),
    Row("POST", "/security/codes", VIEWER),
    Row("POST", "/security/sessions/none/end", VIEWER),
    Row("POST", "/security/sessions/end", VIEWER),
    Row("POST", "/security/tokens", VIEWER),
    Row("POST", "/security/tokens/none/revoke", VIEWER),
    Row("GET", "/rollouts", VIEWER),
    Row("GET", "/live/rollouts", VIEWER),
    Row("GET", "/rollouts/R-2", VIEWER),
    Row("GET", "/live/rollouts/R-2", VIEWER),
    Row("GET", "/rollouts/new", OPERATOR),
    Row("POST", "/rollouts/new", OPERATOR),
    Row("POST", "/rollouts/new/preview", OPERATOR),
    *(
        Row("GET", f"/rollouts/R-999/{verb}", OPERATOR)
        for verb in ("start", "ask", "pause", "stop")
    ),
    *(
        Row("POST", f"/rollouts/R-999/{verb}", OPERATOR)
        for verb in ("start", "ask", "pause", "resume", "stop", "retry", "take-back")
    ),
    *(Row("POST", f"/rollouts/R-999/{verb}", APPROVER) for verb in ("approve", "send-back")),
    Row("POST", "/rollouts/R-999/waves/1/go-on", APPROVER),
    Row("POST", "/rollouts/R-999/waves/2/open", APPROVER),
    Row("POST", "/rollouts/R-999/force", APPROVER),
    Row("POST", "/rollouts/R-999/unforce", OPERATOR),
    Row("POST", "/rollouts/R-999/incidents/9/close", OPERATOR),
    Row("GET", "/groups", VIEWER),
    Row("POST", "/groups", OPERATOR),
    Row("GET", "/groups/none", VIEWER),
    Row("POST", "/groups/none", OPERATOR),
    Row("POST", "/groups/none/remove", OPERATOR),
    Row("GET", "/api/v1/openapi.json", ANYBODY),
    Row("GET", "/api/v1/me", VIEWER),
    Row("GET", "/api/v1/asked", VIEWER),
    Row("POST", "/api/v1/asked/999/confirm", VIEWER),
    Row("POST", "/api/v1/asked/999/decline", VIEWER),
    Row("GET", "/api/v1/users", AUDITOR),
    Row("POST", "/api/v1/users/nobody/role", USERS, {"role": "viewer"}),
    Row("POST", "/api/v1/users/nobody/disable", USERS),
    Row("POST", "/api/v1/users/nobody/enable", USERS),
    Row("POST", "/api/v1/users/nobody/reset-factors", USERS, REASON),
    Row("POST", "/api/v1/devices/revocations", DEVICE_CA, {"device_ids": ["x"], "reason": "y"}),
    Row("GET", "/api/v1/audit", VIEWER),
    Row("GET", "/api/v1/audit/export", AUDITOR),
    Row("GET", "/api/v1/audit/heads", AUDITOR),
    Row("GET", "/api/v1/audit/sightings", VIEWER),
    Row("POST", "/api/v1/audit/sightings/999/settle", AUDITOR, REASON),
    Row("GET", "/api/v1/audit/verify", AUDITOR),
    Row("GET", "/api/v1/me/factors", VIEWER),
    Row("POST", "/api/v1/me/factors/app", VIEWER),
    Row("POST", "/api/v1/me/factors", VIEWER, {"key": "A", "code": "1"}),
    Row("POST", "/api/v1/me/factors/999/remove", VIEWER),
    Row("POST", "/api/v1/me/recovery-codes", VIEWER),
    Row("GET", "/api/v1/me/sessions", VIEWER),
    Row("POST", "/api/v1/me/sessions/none/end", VIEWER),
    Row("POST", "/api/v1/me/sessions/end", VIEWER),
    Row("GET", "/api/v1/me/tokens", VIEWER),
    Row("POST", "/api/v1/me/tokens", VIEWER, {"label": "x", "scopes": ["no:such"]}),
    Row("POST", "/api/v1/me/tokens/none/revoke", VIEWER),
    Row("POST", "/api/v1/claims", OPERATOR, {"serial": "", "hardware_model": "VX-410"}),
    Row("GET", "/api/v1/devices", VIEWER),
    Row("GET", "/api/v1/devices/AAAA00000000", VIEWER),
    Row("POST", "/api/v1/devices/AAAA00000000/revoke", DEVICE_CA, REASON),
    Row("GET", "/api/v1/actions", VIEWER),
    Row("GET", "/api/v1/playbooks", VIEWER),
    Row("GET", "/api/v1/devices/AAAA00000000/diagnosis", VIEWER),
    Row("POST", "/api/v1/devices/AAAA00000000/complaints", SUPPORT, {"symptom": "no-picture"}),
    Row("POST", "/api/v1/devices/AAAA00000000/diagnosis", SUPPORT, {"symptom": "no-picture"}),
    Row("POST", "/api/v1/devices/AAAA00000000/actions", SUPPORT, {"action": "ping", **REASON}),
    Row("GET", "/api/v1/devices/AAAA00000000/actions", VIEWER),
    Row("GET", "/api/v1/actions/none", VIEWER),
    Row("POST", "/api/v1/actions/none/cancel", SUPPORT),
    Row("GET", "/api/v1/actions/none/files/log.txt", SUPPORT),
    Row("GET", "/api/v1/releases", VIEWER),
    Row("POST", "/api/v1/releases", SIGNER, bundle=True),
    Row("POST", "/api/v1/releases/check", SIGNER, bundle=True),
    Row("GET", "/api/v1/releases/VX-410/5.8.2", VIEWER),
    Row("POST", "/api/v1/releases/VX-410/9.9.9/withdraw", SIGNER, REASON),
    Row("GET", "/api/v1/groups", VIEWER),
    Row("POST", "/api/v1/groups", OPERATOR, {"name": "No Name"}),
    Row("GET", "/api/v1/groups/none", VIEWER),
    Row("POST", "/api/v1/groups/none/boxes", OPERATOR, {"add": []}),
    Row("POST", "/api/v1/groups/none/remove", OPERATOR),
    Row("GET", "/api/v1/rollouts/why?device_id=AAAA00000000", VIEWER),
    Row("GET", "/api/v1/rollouts", VIEWER),
    Row("POST", "/api/v1/rollouts", OPERATOR, PLAN),
    Row("POST", "/api/v1/rollouts/preview", VIEWER, PLAN),
    Row("GET", "/api/v1/rollouts/R-2", VIEWER),
    Row("GET", "/api/v1/rollouts/R-2/boxes", VIEWER),
    Row("GET", "/api/v1/rollouts/R-2/evidence", VIEWER),
    Row("GET", "/api/v1/left-alone/NONE", VIEWER),
    Row(
        "POST",
        "/api/v1/left-alone/NONE",
        OPERATOR,
        {"because": "recording", "until": "2099-01-01T00:00:00+00:00"},
    ),
    Row("POST", "/api/v1/left-alone/NONE/lift", OPERATOR, {"because": "recording"}),
    Row("POST", "/api/v1/rollouts/R-999/force", APPROVER, {**REASON, "boxes": 1}),
    Row("POST", "/api/v1/rollouts/R-999/unforce", OPERATOR, REASON),
    Row("GET", "/api/v1/incidents", VIEWER),
    Row("POST", "/api/v1/incidents/I-999/close", OPERATOR, {"finding": "x"}),
    Row("GET", "/api/v1/rollouts/R-2/signatures", VIEWER),
    Row("POST", "/api/v1/rollouts/R-999/signatures", APPROVER, NO_WAVES),
    *(
        Row("POST", f"/api/v1/rollouts/R-999/{verb}", OPERATOR, REASON)
        for verb in ("ask", "start", "pause", "resume", "stop", "retry")
    ),
    *(
        Row("POST", f"/api/v1/rollouts/R-999/{verb}", APPROVER, REASON)
        for verb in ("approve", "send-back", "waves/1/go-on")
    ),
    Row("POST", "/api/v1/rollouts/R-999/waves/2/open", APPROVER, {**REASON, "boxes": 1}),
    Row("POST", "/sign-out", ANYBODY),  # the last: it ends the session
]
ONE_OF = re.compile(r"<any\(([^)]*)\):\w+>")


def routes_of(app: Flask) -> set[tuple[str, str]]:
    """Return (method, rule) of every route, one for each verb that a rule spells out."""
    return {
        (method, spelt)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        for spelt in spelt_out(rule.rule)
    }


def spelt_out(rule: str) -> Iterator[str]:
    found = ONE_OF.search(rule)
    if found is None:
        yield rule
        return
    for verb in found[1].split(","):
        yield rule.replace(found[0], verb.strip(" '\""))


def route_of(app: Flask, row: Row) -> tuple[str, str]:
    """Return the route that answers *row*, with the verb that its path has."""
    path = row.path.partition("?")[0]
    rule, values = app.url_map.bind("localhost").match(path, row.method, return_rule=True)
    assert isinstance(rule, Rule)
    spelt = ONE_OF.sub(lambda _: str(values["verb"]), rule.rule)
    return row.method, spelt


def is_let_in(row: Row, answer: TestResponse) -> bool:
    """Return whether the door opened, whatever was behind it."""
    if row.path == "/sign-in":  # its 401 is about the password that was typed
        return answer.status_code != 403
    to_sign_in = answer.headers.get("Location", "").startswith("/sign-in?next=")
    return answer.status_code not in {401, 403} and not to_sign_in


def ask(client: FlaskClient, row: Row, token: str) -> TestResponse:
    given: dict[str, Any] = {"headers": {"X-CSRFToken": token}}
    if row.bundle:
        given |= {"data": b"no bundle", "content_type": "application/vnd.oleada.bundle"}
    elif row.method == "POST":
        given |= {"json": row.json} if row.json is not None else {"data": {"csrf_token": token}}
    answer = client.open(row.path, method=row.method, **given)
    answer.close()  # a live page has no end
    return answer


def test_every_route_stands_in_the_matrix(empty_app: Flask) -> None:
    assert {route_of(empty_app, row) for row in MATRIX} == routes_of(empty_app)


@pytest.mark.parametrize("role", [None, *Role], ids=lambda role: role or "stranger")
def test_each_cell_of_the_matrix_holds(filled_app: Flask, role: Role | None) -> None:
    config: Config = filled_app.extensions["oleada_config"]
    for name in ("device-ca", "service-ca"):
        pki.make_authority(config.pki_dir, name, now_utc())
    client = filled_app.test_client()
    if role is not None:
        with filled_app.app_context():
            link = add_named({"look": ("Any Body", role, "en", "UTC")}, now_utc())["look"]
            db.session.remove()
        use_link(client, link)
    token = csrf_of(client.get("/settings" if role else "/sign-in").text)
    wrong = []

    for row in MATRIX:
        answer = ask(client, row, token)
        if is_let_in(row, answer) is not row.lets_in(role) or answer.status_code >= 500:
            wrong.append((row.method, row.path, answer.status_code))

    assert wrong == []
