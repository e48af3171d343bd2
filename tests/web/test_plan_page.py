"""Planning in one page: what is typed is kept, what is shown is stored, nothing is guessed."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import service
from oleada_server.rollouts.rules import NAMES
from oleada_server.web import plan_view
from oleada_server.web.plan_form import PlanForm
from werkzeug.test import TestResponse

from tests.web.forms import csrf_of
from tests.web.forms import plan_fields as fields_of

SignIn = Callable[..., FlaskClient]


def press(client: FlaskClient, fields: dict[str, str], do: str, **typed: Any) -> TestResponse:
    return client.post("/rollouts/new", data={**fields, **typed, "do": do})


def boxes_shown(html: str) -> list[int]:
    preview = html[html.index('id="p-preview"') :]
    return [int(n) for n in re.findall(r'class="v[^"]*">(\d+) box', preview)]


def planned_boxes(app: Flask, rollout_id: int) -> list[int]:
    """Return the boxes of each wave that the stored plan covers."""
    with app.app_context():
        found = service.preview(service.spec_of(service.get(rollout_id)))
        db.session.remove()
    return [wave.boxes for wave in found.waves]


@pytest.fixture
def free_app(filled_app: Flask) -> Flask:
    """The filled console after its running rollout was stopped, so that its boxes are free."""
    with filled_app.app_context():
        sample = filled_app.extensions["test_sample"]
        service.stop(sample.rollout_id, "make room", actor="user:a.torres", now=sample.now)
        db.session.remove()
    return filled_app


PICK = {"release": "VX-410/5.8.2"}


def test_the_page_comes_with_firmware_waves_and_a_preview(
    free_app: Flask, signed_in: SignIn
) -> None:
    page = signed_in(free_app).get("/rollouts/new?release=VX-410/5.8.2").text

    assert fields_of(page)["release"] == "VX-410/5.8.2"
    assert [fields_of(page)[f"w{i}-until"] for i in range(3)] == ["5", "25", "100"]
    assert len(boxes_shown(page)) == 3
    assert sum(boxes_shown(page)) == int(re.findall(r'preview-total">(\d+) box', page)[0])


def test_what_the_preview_showed_is_what_is_stored(free_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(free_app)
    page = client.get("/rollouts/new?release=VX-410/5.8.2").text
    page = press(client, fields_of(page), "look", **{"w0-until": "10"}).text

    answer = press(client, fields_of(page), "ask", reason="fixes F-118")

    assert answer.status_code == 303
    rollout_id = int(answer.headers["Location"].rpartition("-")[2])
    assert planned_boxes(free_app, rollout_id) == boxes_shown(page)
    with free_app.app_context():
        found = service.get(rollout_id)
        stored = (str(found.state), found.needs_approval, found.ask_remark, found.created_by)
        service.approve(
            rollout_id, actor="user:i.ferrer", now=free_app.extensions["test_sample"].now
        )
        db.session.expire_all()
        frozen = [wave.boxes for wave in service.get(rollout_id).waves]
        db.session.remove()
    assert stored == ("awaiting_approval", True, "fixes F-118", "user:a.torres")
    assert frozen == boxes_shown(page)


def test_a_plan_that_was_changed_after_its_preview_is_shown_again_first(
    free_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(free_app)
    fields = fields_of(client.get("/rollouts/new?release=VX-410/5.8.2").text)

    answer = press(client, fields, "ask", reason="typed before", **{"w1-until": "50"})

    assert answer.status_code == 400
    assert "The plan was changed after this preview was made." in answer.text
    assert "typed before</textarea>" in answer.text
    again = press(client, fields_of(answer.text), "ask")
    assert again.status_code == 303


def test_the_same_plan_sent_twice_is_stored_once(free_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(free_app)
    fields = fields_of(client.get("/rollouts/new?release=VX-410/5.8.2").text)

    first = press(client, fields, "ask", reason="once")
    second = press(client, fields, "ask", reason="once")

    assert first.headers["Location"] == second.headers["Location"]


def test_waves_are_added_removed_and_taken_from_templates_without_scripts(
    free_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(free_app)
    fields = (
        fields_of(client.get("/rollouts/new").text) | PICK | {"w0-name": "Staff", "reason": "x"}
    )

    page = press(client, fields, "template:careful").text
    assert [fields_of(page)[f"w{i}-until"] for i in range(4)] == ["1", "5", "25", "100"]
    assert fields_of(page)["reason"] == "x"
    page = press(client, fields, "add").text
    assert [fields_of(page)[f"w{i}-until"] for i in range(4)] == ["5", "25", "", "100"]
    page = press(client, fields_of(page), "remove:1").text
    assert [fields_of(page)[f"w{i}-until"] for i in range(3)] == ["5", "", "100"]
    assert fields_of(page)["w0-name"] == "Staff"


def test_limits_are_the_wide_guard_beside_evidence_and_narrow_where_they_judge_alone(
    free_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(free_app)
    fields = fields_of(client.get("/rollouts/new").text) | PICK
    assert (fields["w0-failed"], fields["w0-sample"]) == ("10", "50")

    alone = {name: value for name, value in fields.items() if name != "slow"}
    warned = press(client, alone, "look").text
    narrow = press(client, alone, "template:usual").text

    assert "Limits alone judge this plan" in warned
    assert [fields_of(narrow)[f"w0-{name}"] for name in ("failed", "sample")] == ["2", "10"]
    assert "Limits alone judge this plan" not in narrow


MISTYPED: list[tuple[dict[str, str], str]] = [
    ({"w0-failed": "two"}, "Wave 1, failed: a percentage up to 100 was expected"),
    ({"w0-failed": ""}, "Wave 1, failed: a percentage up to 100 was expected"),
    ({"w1-until": "3"}, "Wave 2 reaches up to 3 %, but the one before it already does"),
    ({"w2-until": "101"}, "Wave 3, boxes up to: a percentage"),
    ({"w0-until": "nan"}, "Wave 1, boxes up to: a percentage"),
    ({"w0-soak": "soon"}, "Wave 1, soak: a time such as 48 h or 30 min"),
    ({"w0-sample": "0"}, "Wave 1, sample: a whole number from 1"),
    ({"begin": "25:00"}, "Write the window as 02:00 to 05:00."),
    ({"begin": "02:00", "end": "02:00"}, "The window begins and ends at the same time."),
    ({"start": "at", "start_at": ""}, "Write day and time of the start."),
    ({"start": "at", "start_at": "2020-01-01T10:00"}, "The start lies in the past."),
    ({"start": "at", "start_at": "2027-03-28T02:30"}, "skipped when the clocks change"),
    ({"boxes": "only", "listed": ""}, "List at least one box"),
    ({"boxes": "first", "listed": "VX41-<b>"}, "is not the id of a box."),
    ({"release": ""}, "Choose the firmware to install."),
    ({"release": "VX-410/9.9.9"}, "There is no release 9.9.9"),
    ({"in_flight": "many"}, "Boxes at work at one time: a whole number"),
    ({"start_boxes": "few"}, "Boxes to begin with: a whole number"),
    ({"w1-until": "colour=red"}, "is no attribute of boxes"),
    ({"w1-until": "count=0"}, "A count of boxes is a number from 1"),
    ({"window": "weekly", "windows": ""}, "Write at least one window"),
    ({"window": "weekly", "windows": "always"}, "is no time of the day"),
    ({"blackouts": "christmas"}, "is no day"),
    ({"rate": "fast"}, "is no rate"),
    ({"region_max": "few"}, "is no whole number of boxes"),
    ({"bandwidth": "wide"}, "is no bandwidth"),
    ({"bandwidth": "1 B/s"}, "bandwidth_max_bytes_s is 1"),
    ({"retry": "boredom"}, "retry_for is"),
    ({"abort": "failed"}, "is no abort criterion"),
    ({"reason": ""}, "A remark is missing; the approver reads it."),
]


def test_what_can_not_be_read_is_named_and_kept_as_typed(
    free_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(free_app)
    fields = fields_of(client.get("/rollouts/new?release=VX-410/5.8.2").text)

    for typed, says in MISTYPED:
        answer = press(client, {**fields, "reason": "kept", **typed}, "ask")

        assert answer.status_code == 400, typed
        assert says in answer.text
        assert "<b>" not in fields_of(answer.text).get("listed", "")
        for name, value in typed.items():
            if name != "release" and "<" not in value:
                assert fields_of(answer.text)[name] == value


def test_a_listed_box_is_in_the_first_wave_and_strangers_are_counted(
    free_app: Flask, signed_in: SignIn
) -> None:
    client, sample = signed_in(free_app), free_app.extensions["test_sample"]
    mine = [one for one in sample.device_ids if one.startswith("VX410")][:3]
    fields = fields_of(client.get("/rollouts/new?release=VX-410/5.8.2").text)

    typed = {"boxes": "only", "listed": f"{mine[0]}\n{mine[1].lower()} , VX2400000000"}
    page = press(client, fields, "look", **typed).text

    assert boxes_shown(page) == [2]
    assert "<b>1</b> listed, but unknown or of another model" in page


def test_a_plan_is_made_again_with_the_same_waves(filled_app: Flask, signed_in: SignIn) -> None:
    page = signed_in(filled_app).get("/rollouts/new?from=R-2").text
    fields = fields_of(page)

    assert fields["release"] == "VX-410/5.8.2"
    assert [fields[f"w{i}-until"] for i in range(4)] == ["5", "15", "50", "100"]
    assert fields["w2-failed"] == "5"
    assert (fields["begin"], fields["end"], fields["w0-soak"]) == ("02:00", "05:00", "48 h")


def test_a_wave_that_would_cover_no_box_is_refused(free_app: Flask, signed_in: SignIn) -> None:
    client, sample = signed_in(free_app), free_app.extensions["test_sample"]
    everybody = "\n".join(one for one in sample.device_ids if one.startswith("VX410"))
    fields = fields_of(client.get("/rollouts/new?release=VX-410/5.8.2").text)

    typed = {"boxes": "first", "listed": everybody, "reason": "nobody is left for wave 2"}
    page = press(client, fields_of(press(client, fields, "look", **typed).text), "ask")

    assert page.status_code == 400
    assert "Wave 2 would cover no box, so it would prove nothing." in page.text


def test_boxes_of_an_open_rollout_are_left_out_and_a_plan_for_nobody_is_refused(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)
    page = client.get("/rollouts/new?release=VX-410/5.8.2").text

    answer = press(client, fields_of(page), "ask", reason="too early")

    assert "are in another open rollout" in page
    assert answer.status_code == 400
    assert "No box is left that this plan could reach." in answer.text


def test_a_preview_alone_is_a_piece_of_the_page(free_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(free_app)
    fields = fields_of(client.get("/rollouts/new?release=VX-410/5.8.2").text)

    piece = client.post("/rollouts/new/preview", data={**fields, "w0-until": "20"}).text

    assert piece.lstrip().startswith('<section class="panel" id="p-preview"')
    assert len(boxes_shown(piece)) == 3


def test_boxes_do_not_move_while_only_the_remark_is_written(
    free_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(free_app)
    fields = fields_of(client.get("/rollouts/new?release=VX-410/5.8.2").text)

    for remark in ("f", "fi", "fix", "fixe", "fixes"):
        piece = client.post("/rollouts/new/preview", data={**fields, "reason": remark}).text
        assert f'name="salt" value="{fields["salt"]}"' in piece


def test_only_who_may_plan_sees_the_page_and_no_write_goes_without_its_token(
    free_app: Flask, signed_in: SignIn
) -> None:
    viewer, operator = signed_in(free_app, "v.dvorak"), signed_in(free_app)
    fields = fields_of(operator.get("/rollouts/new?release=VX-410/5.8.2").text)

    token = csrf_of(viewer.get("/settings").text)
    assert viewer.get("/rollouts/new").status_code == 403
    assert press(viewer, fields | {"csrf_token": token}, "ask", reason="x").status_code == 403
    assert press(operator, fields | {"csrf_token": ""}, "ask", reason="x").status_code == 400


NIGHTS = [
    ("02:00", "05:00", datetime(2026, 11, 21, tzinfo=UTC),
     "<b>Sun 28 Mar 2027:</b> the clocks skip a part of the window (Prague): for 96 boxes it is "
     "open 2\N{NO-BREAK SPACE}h instead of 3\N{NO-BREAK SPACE}h."),
    ("02:00", "03:00", datetime(2026, 11, 21, tzinfo=UTC),
     "<b>Sun 28 Mar 2027:</b> the clocks change (Prague) and skip the whole window; 96 boxes can "
     "begin a day later."),
    ("02:00", "03:00", datetime(2027, 6, 1, tzinfo=UTC),
     "<b>Sun 31 Oct 2027:</b> a part of the window comes twice (Prague): for 96 boxes it is open "
     "2\N{NO-BREAK SPACE}h instead of 1\N{NO-BREAK SPACE}h."),
]  # fmt: skip


def test_the_preview_says_which_night_the_clocks_skip_or_double_the_window(
    free_app: Flask,
) -> None:
    with free_app.app_context():
        db.session.execute(db.update(Device).values(version="5.8.1"))
        db.session.commit()
    form = PlanForm(release="VX-410/5.8.2")
    for begin, end, now, says in NIGHTS:
        with free_app.test_request_context("/"):
            night = plan_view.show(replace(form, begin=begin, end=end), now, "UTC").facts
            noon = plan_view.show(replace(form, begin="12:00", end="14:00"), now, "UTC").facts
            always = plan_view.show(replace(form, window="any"), now, "UTC").facts
            db.session.remove()

        assert says in night
        assert sum("clock" in fact or "twice" in fact for fact in [*noon, *always]) == 0
        assert any("without the windows" in fact for fact in noon)
        assert not any("without the windows" in fact for fact in always)


def test_without_firmware_the_page_says_what_to_do(empty_app: Flask, signed_in: SignIn) -> None:
    assert "No firmware is published yet" in signed_in(empty_app).get("/rollouts/new").text


RULED = {
    "w0-until": "count=4", "w1-until": "region=Brno, Madrid", "window": "weekly",
    "windows": "mon-fri 23:00-05:00", "blackouts": "2099-12-24/2099-12-26",
    "rate": "50 x2 every 1000 succeeded up to 1000", "region_max": "40",
    "bandwidth": "20 MB/s", "region_bandwidth": "2 MB/s", "box_bandwidth": "500 kB/s",
    "retry": "download", "abort": "failed > 5 % from 100", "newcomers": "yes",
    "slow": "yes", "start_boxes": "7", "goes_back": "yes", "back_from": "9.0.0",
}  # fmt: skip


def test_every_rule_is_typed_previewed_stored_and_shown_again(
    free_app: Flask, signed_in: SignIn
) -> None:
    client, at = signed_in(free_app), free_app.extensions["test_sample"].now
    with free_app.app_context():
        for number, device in enumerate(db.session.scalars(db.select(Device))):
            device.region = ("Brno", "Madrid", "Praha")[number % 3]
        db.session.commit()
        db.session.remove()
    fields = fields_of(client.get("/rollouts/new?release=VX-410/5.8.2").text)

    page = press(client, {**fields, **RULED}, "look").text
    answer = press(client, fields_of(page), "draft")

    assert answer.status_code == 303, at
    assert boxes_shown(page)[0] == 4
    rollout_id = int(answer.headers["Location"].rpartition("-")[2])
    again = fields_of(client.get(f"/rollouts/new?from=R-{rollout_id}").text)
    assert {name: again.get(name) for name in RULED} == RULED
    with free_app.app_context():
        stored = service.get(rollout_id).rules
        db.session.remove()
    assert stored is not None
    assert set(stored) == set(NAMES)


def test_boxes_are_kept_back_in_a_wave_of_their_own_and_too_few_are_said(
    free_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(free_app)
    fields = fields_of(client.get("/rollouts/new?release=VX-410/5.8.2").text)

    kept = press(client, {**fields, "hold_back": "20"}, "look").text
    wrong = press(client, {**fields, "hold_back": "80"}, "look").text

    assert len(boxes_shown(kept)) == len(boxes_shown(press(client, fields, "look").text)) + 1
    assert "Hold-back" in kept
    assert "<b>No control:</b>" in kept
    assert "at most 0.5" in wrong


def test_both_sliders_move_the_replay(free_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(free_app)
    fields = fields_of(client.get("/rollouts/new?release=VX-410/5.8.2").text)
    page = press(client, {**fields, "window": "any", "slow": "yes"}, "template:once").text
    plain = fields_of(page)

    def replayed(**typed: str) -> str:
        page = client.post("/rollouts/new/preview", data={**plain, **typed}).text
        return page[page.index("How it would go") :]

    assert "<b>3 boxes</b> harmed" in replayed(start_boxes="3")
    assert "<b>7 boxes</b> harmed" in replayed(start_boxes="7")
    assert "With 20 at work at one time" in replayed(in_flight="10")
    assert page.count('type="range"') == 2
    assert '<output class="dim" for="in_flight">500</output>' in page


def test_the_preview_says_how_the_plan_would_go(free_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(free_app)
    fields = fields_of(client.get("/rollouts/new?release=VX-410/5.8.2").text)

    once = {**fields, "window": "any", "slow": "yes", "start_boxes": "3", "in_flight": "50"}
    page = press(client, {**once, "do": "template:once"}, "template:once").text
    seen = re.findall(r"<li>(.*?)</li>", page[page.index("How it would go") :])

    assert any(line.startswith("<b>Done ") for line in seen)
    assert any("fail on it: <b>3 boxes</b> harmed" in line for line in seen), seen
    assert any("With 100 at work at one time: done" in line for line in seen)
