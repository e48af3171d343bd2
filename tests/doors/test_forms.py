"""Bad input in the console: every form that a page shows, every field, every query string.

The forms are read from the pages themselves, so that a new field is swept without being
named; a POST route that no page leads to and that has no row here fails the first test.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from oleada_server import clock, web
from oleada_server.accounts.models import Session
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.devices.models import Device
from werkzeug.test import TestResponse

from tests.doors.conftest import World
from tests.support.bad_input import QUERIES, TEXTS
from tests.support.html_forms import Form, forms_of
from tests.support.rest_doors import MACHINES
from tests.web.forms import csrf_of, use_link

PAGES = (
    "/password", "/settings", "/help", "/search?q=VX", "/fleet", "/devices", "/devices/{id}",
    "/devices/{id}/revoke", "/devices/{id}/left-alone",
    "/devices/{id}/do/log_pull",
    "/releases", "/releases/VX-410/5.8.2", "/releases/VX-410/5.8.2/withdraw", "/audit",
    "/users", "/users/v.dvorak", "/rollouts", "/rollouts/R-1", "/rollouts/R-2", "/rollouts/R-3",
    "/rollouts/R-2/pause", "/rollouts/R-2/stop", "/rollouts/R-3/start", "/rollouts/R-3/ask",
    "/rollouts/new?release=VX-240/5.7.9", "/audit/chain", "/audit/sightings",
    "/security", "/security/app", "/keys", "/asked", "/groups", "/groups/staff",
)  # fmt: skip
"""Pages that an administrator opens; their forms are sent."""
REASON = {"reason": "a reason", "seen": "999999"}
MADE = {
    "/rollouts/R-3/approve": REASON,
    "/rollouts/R-3/send-back": REASON,
    "/rollouts/R-3/take-back": REASON,
    "/rollouts/R-2/resume": REASON,
    "/rollouts/R-2/waves/3/go-on": REASON,
    "/rollouts/R-2/waves/4/open": {**REASON, "confirm": "7"},
    "/rollouts/R-2/force": {**REASON, "confirm": "7"},
    "/rollouts/R-2/unforce": REASON,
    "/rollouts/R-2/incidents/999/close": REASON,
    "/rollouts/R-1/retry": {"ended_for": "health-check"},
    "/rollouts/new/preview": {"release": "VX-240/5.7.9", "w0-until": "100", "w0-soak": "24 h"},
    "/devices/AAAA00000000/diagnosis/run": {"action": "reboot", "consent": "viewer"},
    "/devices/AAAA00000000/diagnosis/cancel/none": {},
    "/devices/AAAA00000000/diagnosis/check": {},
    "/devices/AAAA00000000/diagnosis/stop": {},
    "/devices/AAAA00000000/left-alone/lift": {"because": "recording"},
    "/sign-in": {"name": "a.torres", "password": "wrong", "next": "/fleet"},
    "/sign-in/link/none": {},
    "/sign-out": {},
    "/second-factor": {"code": "000000", "next": "/fleet"},
    "/second-factor/ask": {},
    "/security/passkeys": {"passkey": "{}", "name": "Stick"},
    "/security/passkeys/ask": {},
    "/security/factors/1/remove": {},
    "/security/codes": {},
    "/security/sessions/none/end": {},
    "/security/sessions/end": {},
    "/security/tokens/none/revoke": {},
    "/users/v.dvorak/reset-factors": {"seen": "999999"},
    "/users/v.dvorak/enable": {},
    "/audit/sightings/999/settle": REASON,
    "/keys/owner": {"key_id": "0" * 64, "user": "a.torres", "reason": "a reason"},
    "/asked/1/confirm": {},
    "/asked/1/decline": {},
    "/keys/asked/1/confirm": {},
    "/keys/asked/1/decline": {},
    "/releases/check": {},
    "/releases": {},
}
"""Forms that no page of PAGES shows now: their address, and what they send."""
FORM_TEXTS = (
    "empty text", "NUL", "control characters", "right to left", "markup", "10 000 characters",
    "many digits", "date beyond",
)  # fmt: skip
FEW_TEXTS = ("control characters",)
"""For a field that another form has been asked all of."""
TELLS_NOBODY = (
    "/sign-in", "/sign-in/link/none", "/second-factor", "/second-factor/ask", "/security/passkeys",
    "/security/passkeys/ask",
)  # fmt: skip
"""Vain tries are counted, and what a passkey has to sign waits: an answer here writes."""
LISTS = ("/devices", "/audit", "/rollouts", "/search")
"""Pages that read their query; each is asked for every name that any of them reads."""
NOTE_EVERY = timedelta(seconds=20)
"""A request writes the use of an administrator's session down after a minute at least."""
ARGUMENT = re.compile(r"""args(?:\.get)?[(\[]\s*"(\w+)\"""")


@pytest.fixture(scope="module")
def client(world: World) -> FlaskClient:
    """A browser in which the administrator is signed in, for good."""
    found = world.app.test_client()
    assert use_link(found, world.links["m.novak"]).status_code == 303
    world.watch.keep()
    return found


@dataclass
class Use:
    """The use of the administrator's session, written down before a request would do it.

    A form that is sent a minute after signing in, on a busy machine, writes the use down;
    that would pass for something that the form has written.
    """

    world: World
    noted_at: datetime

    def note(self, now: datetime) -> None:
        """Write down that the session is in use at *now*, unless that was done just now."""
        if abs(now - self.noted_at) < NOTE_EVERY:
            return
        with self.world.app.app_context():
            db.session.execute(db.update(Session).values(last_used_at=now))
            db.session.commit()
            db.session.remove()
        self.world.watch.keep()
        self.noted_at = now


@pytest.fixture(scope="module")
def use(world: World, client: FlaskClient) -> Use:
    """The session of *client*, in use."""
    found = Use(world, now_utc() - NOTE_EVERY)
    found.note(now_utc())
    return found


@pytest.fixture(scope="module")
def pages(world: World, client: FlaskClient) -> dict[str, str]:
    """Every page of PAGES by address."""
    with world.app.app_context():
        device_id = db.session.scalars(db.select(Device.id).order_by(Device.id).limit(1)).one()
        db.session.remove()
    found = {}
    for page in PAGES:
        answer = client.get(page.format(id=device_id))
        assert answer.status_code == 200, page
        found[page.format(id=device_id)] = answer.text
    world.watch.restore()  # a slow machine may have had the session's use to write down
    return found


def forms_to_send(world: World, pages: dict[str, str]) -> list[Form]:
    """Return each form that is posted, once for each route; and those of MADE."""
    found: dict[tuple[str, ...], Form] = {}
    token = csrf_of(next(iter(pages.values())))
    for address, html in pages.items():
        for form in forms_of(html, address):
            if form.method == "POST" and not form.is_upload:
                key = (rule_of(world, form.action), *sorted(form.fields))
                found.setdefault(key, form)
    for action, fields in MADE.items():
        found[(action,)] = Form(action, "POST", {"csrf_token": token, **fields}, {"reason"})
    return list(found.values())


def rule_of(world: World, path: str) -> str:
    rule, values = world.app.url_map.bind("localhost").match(
        path.partition("?")[0], "POST", return_rule=True
    )
    return f"{rule} {values.get('verb', '')}"


class Sweep:
    """Sends forms, looks at each answer and keeps what is wrong."""

    def __init__(self, world: World, client: FlaskClient, use: Use) -> None:
        self._world, self._client, self._use = world, client, use
        self.asked = 0
        self.wrong: list[str] = []

    def send(self, said: str, form: Form, fields: Any, *, kept: str = "") -> None:
        """Send *fields*; *kept* is a text that the page must still show if it refuses."""
        self._use.note(now_utc())
        answer = self._client.post(
            form.action, data=fields, headers={"Referer": f"http://localhost{form.action}"}
        )
        self.look(said, form.action, answer, kept)

    def get(self, said: str, address: str, query: str) -> None:
        """Ask for a page with *query*."""
        self._use.note(now_utc())
        answer = self._client.get(address, query_string=query, buffered=True)
        self.look(said, f"{address}?{query[:60]}", answer, "")

    def look(self, said: str, where: str, answer: TestResponse, kept: str) -> None:
        """Note what is wrong with *answer*, and undo what it wrote."""
        self.asked += 1
        watch = self._world.watch
        changed, broken = watch.has_written(), list(watch.tracebacks.found)
        watch.restore()
        wrong = _wrong_with(answer, changed and where not in TELLS_NOBODY, broken)
        if wrong is None and kept and answer.status_code in {400, 409, 422}:
            text = answer.text
            if escape(kept, quote=False) not in text and escape(kept) not in text:
                wrong = f"{answer.status_code} without what was typed"
        if wrong is not None:
            self.wrong.append(f"{where} {said}: {wrong}")


def _wrong_with(answer: TestResponse, changed: bool, broken: list[str]) -> str | None:
    status = answer.status_code
    if broken or status >= 500:
        return f"{status} {''.join(broken)[-300:]}"
    if status < 300:
        return "shown, but something was written" if changed else None
    if status < 400:
        return None
    if changed:
        return f"{status}, but something was written"
    if answer.mimetype != "text/html" or "<h1" not in answer.text:
        return f"{status} is no page: {answer.text[:100]}"
    return None


@pytest.fixture
def sweep(
    world: World, client: FlaskClient, use: Use, request: pytest.FixtureRequest
) -> Iterator[Sweep]:
    found = Sweep(world, client, use)
    yield found
    request.node.user_properties.append(("cases", found.asked))


def test_a_request_of_the_sweep_writes_no_use_down_however_late_it_comes(
    world: World, client: FlaskClient, use: Use
) -> None:
    for minutes in (2, 10, 18):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clock, "_ahead", timedelta(minutes=-minutes))
            use.note(now_utc())

            assert client.get("/fleet").status_code == 200
            assert not world.watch.has_written()
    use.note(now_utc())


def test_every_form_is_swept(world: World, pages: dict[str, str]) -> None:
    swept = {rule_of(world, form.action) for form in forms_to_send(world, pages)}
    swept = {one.partition(" ")[0] for one in swept}
    routes = {
        rule.rule
        for rule in world.app.url_map.iter_rules()
        if "POST" in (rule.methods or ()) and not rule.rule.startswith(MACHINES)
    }

    missing = {rule for rule in routes if rule.partition(" ")[0] not in swept}
    assert missing == set(), "a form without a row: add its page to PAGES, or a row to MADE"


def test_no_text_in_a_field_of_a_form_breaks_it(
    world: World, pages: dict[str, str], sweep: Sweep
) -> None:
    known: set[str] = set()
    for form in forms_to_send(world, pages):
        for name in form.fields:
            same = re.sub(r"^w[0-9]+-", "w-", name)
            if same in known and same.startswith("w-"):
                continue  # the same column of a later wave
            for text in FEW_TEXTS if same in known else FORM_TEXTS:
                sweep.send(f"{name} is {text}", form, {**form.fields, name: TEXTS[text]})
            known.add(same)

    assert sweep.wrong == []


def test_a_field_may_be_missing_or_come_twice(
    world: World, pages: dict[str, str], sweep: Sweep
) -> None:
    for form in forms_to_send(world, pages):
        for name in form.fields:
            if re.match(r"w[1-9]", name):
                continue
            rest = {k: v for k, v in form.fields.items() if k != name}
            sweep.send(f"without {name}", form, rest)
            sweep.send(f"{name} twice", form, {**form.fields, name: ["zzz", "7"]})
        for button in form.buttons:
            sweep.send(f"button {button}", form, {**form.fields, button[0]: "zzz:-1"})
        sweep.send("of another kind", form, b"\xff\xfe=%zz&&=&csrf_token")

    assert sweep.wrong == []


def test_what_was_typed_is_still_there_when_a_form_is_refused(
    world: World, pages: dict[str, str], sweep: Sweep
) -> None:
    text = "typed <b>\u017elu\u0165ou\u010dk\u00fd</b> & kept"
    for form in forms_to_send(world, pages):
        for name in form.typed & {"reason", "full_name", "listed", "name"} & set(form.fields):
            stale = {"seen": "0"} if "seen" in form.fields else {}
            sweep.send(f"{name} beside an empty rest", form,
                       {**dict.fromkeys(form.fields, ""), name: text, **stale,
                        "csrf_token": form.fields["csrf_token"]}, kept=text)  # fmt: skip

    assert sweep.wrong == []
    assert sweep.asked > 3


def test_no_query_breaks_a_page(world: World, pages: dict[str, str], sweep: Sweep) -> None:
    names = sorted(_arguments())
    for page in pages:
        for text in FEW_TEXTS:
            value = _quoted(TEXTS[text])
            query = "&".join(f"{name}={value}" for name in names)
            sweep.get(f"all are {text}", page.partition("?")[0], query)
    for address in LISTS:
        for said, query in QUERIES.items():
            sweep.get(said, address, query)
        for name in names:
            sweep.get(f"{name} is odd", address, f"{name}={_quoted(TEXTS['control characters'])}")

    assert len(names) > 15
    assert sweep.wrong == []


def _quoted(text: str) -> str:
    return quote(text[:3000], errors="surrogatepass")


def _arguments() -> set[str]:
    """Return the name of everything that a page reads from its query."""
    home = Path(web.__file__).parents[1]
    sources = [*home.glob("web/*.py"), *home.glob("audit/*.py"), *home.glob("accounts/*.py")]
    return {name for path in sources for name in ARGUMENT.findall(path.read_text())}
