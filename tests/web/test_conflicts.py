"""Two people and one thing: who comes second sees what the first did, and keeps their text."""

from collections.abc import Callable
from dataclasses import dataclass, field

from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts import service as accounts
from oleada_server.accounts.models import Role
from oleada_server.audit.models import AuditEvent
from oleada_server.db import db
from oleada_server.releases import service as releases
from oleada_server.rollouts import service
from oleada_server.rollouts.models import BoxInWave, Wave
from oleada_server.rollouts.states import BoxState, WaveState
from werkzeug.test import TestResponse

from tests.web.sample import ANA, at_noon
from tests.web.test_decisions import hidden, send

SignIn = Callable[..., FlaskClient]
MAREK = "user:m.novak"
NOW = at_noon()


@dataclass(frozen=True, slots=True)
class Case:
    """*who* has a page open, *meanwhile* somebody acts, then the form goes to *path*.

    Attributes:
        says: What the answer says of the other's deed.
        kept: What was typed; it must stand in the answer.
    """

    who: str
    page: str
    path: str
    meanwhile: Callable[[], object]
    says: str
    kept: str = ""
    typed: dict[str, str] = field(default_factory=dict)


def ask() -> None:
    service.ask_approval(3, "lab run is clean", actor=ANA, now=NOW)


def approve() -> None:
    service.approve(3, actor=MAREK, now=NOW)


def send_back() -> None:
    service.send_back(3, "not today", actor=MAREK, now=NOW)


def pause(rollout_id: int = 3) -> None:
    service.pause(rollout_id, "looking", actor=MAREK, now=NOW)


def resume(rollout_id: int = 3) -> None:
    service.resume(rollout_id, actor=MAREK, now=NOW)


def resume_and_pause() -> None:
    resume()
    pause()


def hold() -> None:
    wave = db.session.query(Wave).filter_by(rollout_id=2, position=3).one()
    for number, row in enumerate(db.session.query(BoxInWave).filter_by(wave_id=wave.id)):
        row.state = BoxState.SILENT if number % 4 == 0 else BoxState.UPDATED
        row.reason, row.deadline_at = ("silent" if number % 4 == 0 else None), None
    wave.state, wave.state_reason = WaveState.HELD, "too many are silent"
    db.session.commit()


def retried() -> None:
    service.retry(2, actor=MAREK, now=NOW, ended_for="health-check")


def withdraw() -> None:
    releases.withdraw("VX-240", "5.7.9", "sound is gone", MAREK, NOW)


def promote() -> None:
    accounts.change_role("v.dvorak", Role.OPERATOR, actor=MAREK, now=NOW)


def nothing() -> None:
    """Leave everything as it is."""


MINE = {"reason": "typed by me"}
R2, R3 = "/rollouts/R-2", "/rollouts/R-3"
STORY: list[tuple[Callable[[], object], Case]] = [
    (nothing, Case("a.torres", f"{R3}/start", f"{R3}/start", ask,
                   "<b>a.torres</b> asked for approval")),
    (nothing, Case("e.prieto", R3, f"{R3}/approve", send_back,
                   "<b>m.novak</b> sent it back “not today”", "typed by me")),
    (ask, Case("a.torres", R3, f"{R3}/take-back", send_back, "<b>m.novak</b> sent it back")),
    (ask, Case("e.prieto", R3, f"{R3}/send-back", approve, "<b>m.novak</b> approved it",
               "typed by me")),
    (nothing, Case("a.torres", f"{R3}/pause", f"{R3}/pause", pause, "<b>m.novak</b> paused it",
                   "typed by me")),
    (nothing, Case("a.torres", R3, f"{R3}/resume", resume_and_pause, "<b>m.novak</b> resumed it")),
    (nothing, Case("a.torres", R2, f"{R2}/retry", retried, "<b>m.novak</b> let boxes try again",
                typed={"ended_for": "health-check"})),
    (hold, Case("e.prieto", R2, f"{R2}/waves/3/go-on", lambda: pause(2),
                "<b>m.novak</b> paused it “looking”", "typed by me")),
    (nothing, Case("a.torres", f"{R2}/stop", f"{R2}/stop", lambda: resume(2),
                   "<b>m.novak</b> resumed it", "typed by me")),
    (nothing, Case("a.torres", "/releases/VX-240/5.7.9/withdraw",
                   "/releases/VX-240/5.7.9/withdraw", withdraw, "<b>m.novak</b> withdrew it",
                   "typed by me", {"confirm": "5.7.9"})),
    (nothing, Case("m.novak", "/users/v.dvorak", "/users/v.dvorak/role", promote,
                   "<b>m.novak</b> changed the role", typed={"role": "approver"})),
    (nothing, Case("m.novak", "/users/v.dvorak", "/users/v.dvorak/disable",
                   lambda: accounts.disable_user("v.dvorak", actor=MAREK, now=NOW),
                   "<b>m.novak</b> shut the user out", typed={"confirm": "v.dvorak"})),
]  # fmt: skip


def test_who_comes_second_sees_what_was_done_and_keeps_what_they_typed(
    filled_app: Flask, signed_in: SignIn
) -> None:
    people = {name: signed_in(filled_app, name) for name in ("a.torres", "e.prieto", "m.novak")}

    for before, case in STORY:
        happens(filled_app, before)
        page = people[case.who].get(case.page).text
        happens(filled_app, case.meanwhile)
        known = entries(filled_app)

        answer = send(people[case.who], case.path, page, **{**MINE, **case.typed})

        assert answer.status_code == 409, case.path
        assert case.says in answer.text, case.path
        assert "Nothing was done." in answer.text, case.path
        assert case.kept in seen_of(answer), case.path
        assert entries(filled_app) == known, case.path


def test_a_pause_waits_for_nobody_whatever_has_changed_meanwhile(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)
    page = client.get(f"{R2}/pause").text
    happens(filled_app, lambda: pause(2))
    happens(filled_app, lambda: resume(2))

    answer = send(client, f"{R2}/pause", page, reason="sound drops")

    assert answer.status_code == 303
    assert "Paused, wave 3 of 4" in client.get(R2).text


def test_a_pause_and_a_resume_are_taken_back_by_the_notice_that_tells_of_them(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)

    send(client, f"{R2}/pause", client.get(f"{R2}/pause").text, reason="sound drops")
    paused = client.get(R2).text
    assert "Undo: resume it" in paused
    send(client, f"{R2}/resume", paused)
    running = client.get(R2).text
    assert "Undo: pause it again" in running
    send(client, f"{R2}/pause", running, reason=hidden(running, "reason"))
    again = client.get(R2).text

    assert "Paused, wave 3 of 4" in again
    assert 'a.torres</b> paused it <span class="ink2">“taken back right after”' in again


def happens(app: Flask, what: Callable[[], object]) -> None:
    with app.app_context():
        what()
        db.session.remove()


def entries(app: Flask) -> int:
    with app.app_context():
        found = db.session.scalar(db.select(db.func.count()).select_from(AuditEvent))
        db.session.remove()
    return int(found or 0)


def seen_of(answer: TestResponse) -> str:
    """Return the answer without the activity, which is no place to keep what was typed."""
    return answer.text.partition('id="p-activity"')[0]
