"""The fleet and the page of one box: their numbers are the database's, their words are true."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts.models import BoxInWave, ReportRow
from oleada_server.rollouts.states import BoxState
from oleada_server.web.device_lanes import Axis, lanes
from sqlalchemy import func, select, update

from tests.web.sample import Sample

SignIn = Callable[..., FlaskClient]


def figures_of(html: str) -> dict[str, str]:
    """Return the key figures of the fleet's page by their names."""
    found = re.findall(r'<h2 class="meta">([^<]+)</h2><p class="fig[^>]*>\s*([\d,]+)', html)
    return dict(found)


def test_the_figures_of_the_fleet_are_the_databases(filled_app: Flask, signed_in: SignIn) -> None:
    page = signed_in(filled_app).get("/fleet").text
    with filled_app.app_context():
        since = now_utc() - timedelta(minutes=15)
        heard = db.session.scalar(select(func.count()).where(Device.last_seen_at >= since))
        silent = db.session.scalar(select(func.count()).where(Device.last_seen_at < since))
        at_work = db.session.scalar(
            select(func.count()).where(
                BoxInWave.rollout_id == 2,
                BoxInWave.state.in_(["leased", "downloading", "installing", "checking"]),
            )
        )
        db.session.remove()

    found = figures_of(page)

    assert found["Reachable"] == str(heard)
    assert found["Silent"] == str(silent)
    assert found["Updating now"] == str(at_work)
    assert f"<b>{heard} of 120 boxes</b> were heard lately." in page


def test_a_figure_leads_to_exactly_its_boxes(filled_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(filled_app)
    found = figures_of(client.get("/fleet").text)

    assert f"<b>{found['Silent']} boxes</b> of 120" in client.get("/devices?contact=silent").text
    assert f"<b>{found['Reachable']} boxes</b> of 120" in client.get("/devices?contact=seen").text


def test_what_needs_a_person_is_named_with_its_reason(filled_app: Flask, signed_in: SignIn) -> None:
    with filled_app.app_context():
        release = db.session.scalars(select(Release).where(Release.version == "5.8.1")).first()
        assert release is None
        db.session.execute(
            update(Release).where(Release.version == "5.8.0").values(state=ReleaseState.WITHDRAWN)
        )
        device = db.session.scalars(select(Device).where(Device.hardware_model == "VX-410")).first()
        assert device is not None
        device.version = "5.8.0"
        db.session.commit()
        db.session.remove()

    page = signed_in(filled_app).get("/fleet").text

    assert "R-3 is planned, not begun" in page
    assert "R-1 halted itself" in page
    assert "wave 1: 6 of 20 failed, more than 2%" in page
    assert "1 box runs withdrawn firmware" in page


def test_a_box_is_behind_only_where_something_newer_is_published(
    filled_app: Flask, signed_in: SignIn
) -> None:
    with filled_app.app_context():
        db.session.execute(
            update(Device).where(Device.hardware_model == "VX-410").values(version="5.8.2")
        )
        db.session.commit()
        db.session.remove()

    page = signed_in(filled_app).get("/fleet").text

    assert figures_of(page)["Newest firmware"] == "96"
    assert re.search(r"2[34] boxes behind", page)


def test_the_first_use_of_the_fleet_says_so(empty_app: Flask, signed_in: SignIn) -> None:
    page = signed_in(empty_app).get("/fleet").text

    assert "No box is enrolled yet." in page
    assert "Nothing waits for you" in page
    assert "No rollout is planned yet" in page


@pytest.mark.parametrize(
    ("name", "leads_to"),
    [("v.dvorak", "/devices"), ("a.torres", "/fleet"), ("e.prieto", "/rollouts"),
     ("m.novak", "/fleet")],
)  # fmt: skip
def test_the_start_page_goes_by_the_role(
    filled_app: Flask, signed_in: SignIn, name: str, leads_to: str
) -> None:
    assert signed_in(filled_app, name).get("/").headers["Location"] == leads_to


def test_the_page_of_a_box_says_what_it_should_run_and_why(
    filled_app: Flask, signed_in: SignIn
) -> None:
    now = now_utc()
    with filled_app.app_context():
        box = db.session.scalars(
            select(BoxInWave).where(BoxInWave.state == BoxState.DOWNLOADING).limit(1)
        ).one()
        device_id, box.attempt, box.assigned_at = box.device_id, 2, now - timedelta(hours=3)
        box.lease_expires_at = now + timedelta(hours=1)
        device = db.session.get_one(Device, device_id)
        device.last_seen_at = now
        db.session.add(
            ReportRow(
                box_id=box.id, attempt=1, step=9, phase="failed", reason="download",
                detail="the line was cut", version="5.8.1", running_slot="A",
                message_id="0" * 32, box_at=now, received_at=now,
            )
        )  # fmt: skip
        db.session.commit()
        db.session.remove()

    page = signed_in(filled_app).get(f"/devices/{device_id}").text

    assert "Downloading: 5.8.2 is on its way here" in page
    assert "Wave 3 of R-2 covers this box." in page
    assert "2 of 3" in page
    assert "yes, until" in page
    assert "Failed: Download did not complete" in page
    assert "the line was cut" in page


@pytest.mark.parametrize(("number", "says"), [(7, "never been heard"), (22, "Silent since")])
def test_a_box_out_of_reach_says_since_when(
    filled_app: Flask, signed_in: SignIn, number: int, says: str
) -> None:
    sample: Sample = filled_app.extensions["test_sample"]

    assert says in signed_in(filled_app).get(f"/devices/{sample.device_ids[number]}").text


def test_health_has_words_units_ages_and_the_names_of_the_standard(
    filled_app: Flask, signed_in: SignIn
) -> None:
    sample: Sample = filled_app.extensions["test_sample"]

    page = signed_in(filled_app).get(f"/devices/{sample.device_ids[6]}").text

    assert "Temperature, sensor 1" in page
    assert "Device.DeviceInfo.UpTime" in page
    assert re.search(r"Free storage</h3><p>\d+\xa0MB", page)
    assert re.search(r"read <time [^>]+>[^<]+ ago</time>", page)
    assert "player ended: signal 11" in page
    assert "HDCP 2.2 check timed out" in page


def test_another_spelling_of_a_device_id_leads_to_its_one_page(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client = signed_in(filled_app)
    device_id = filled_app.extensions["test_sample"].device_ids[6]
    typed = "-".join((device_id[:4], device_id[4:8], device_id[8:])).lower().replace("0", "o")

    answer = client.get(f"/devices/{typed}")

    assert (answer.status_code, answer.headers["Location"]) == (301, f"/devices/{device_id}")
    assert client.get("/devices/NOSUCHB0X000").status_code in {301, 404}


def test_the_timeline_shows_gaps_starts_and_nothing_that_was_not_told(
    filled_app: Flask, signed_in: SignIn
) -> None:
    sample: Sample = filled_app.extensions["test_sample"]
    client = signed_in(filled_app)

    told = client.get(f"/devices/{sample.device_ids[6]}").text
    silent = client.get(f"/devices/{sample.device_ids[5]}").text

    assert "Heard in 2 stretches without a gap" in told
    assert told.count("Started anew") == 1
    assert "No health message in this time" in silent


def test_a_timeline_of_nothing_is_empty() -> None:
    end = now_utc()

    found = lanes([], (), ("starts",), Axis(end - timedelta(hours=1), end, []))

    assert (found.told, found.heard, found.series, found.lanes[0].marks) == (0, [], [], [])


def test_each_box_of_the_list_leads_to_its_page(filled_app: Flask, signed_in: SignIn) -> None:
    client = signed_in(filled_app)
    found = re.findall(
        r'<th scope="row"><a class="tlink mono" href="([^"]+)"', client.get("/devices").text
    )

    assert len(found) == 50
    assert client.get(found[0]).status_code == 200
