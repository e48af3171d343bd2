"""The page of one box: what it is, how it is, what it should run and why, what happened."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from oleada_wire.ids import normalise_device_id
from werkzeug.datastructures import MultiDict

from oleada_server import config
from oleada_server.accounts.access import identity, require_role
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import Identity
from oleada_server.audit import service as audit
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.devices import service as devices
from oleada_server.devices.models import Device
from oleada_server.diagnosis import habits, rolling
from oleada_server.enrolment import service as enrolment
from oleada_server.live import service as live
from oleada_server.messaging.excess import excess_of
from oleada_server.releases import service as releases
from oleada_server.rollouts import left_alone, of_device
from oleada_server.rollouts.of_device import Place
from oleada_server.telemetry import service as events
from oleada_server.web import (
    activity,
    device_diagnosis,
    device_events,
    device_happened,
    device_lanes,
    device_readings,
    device_view,
    left_alone_pages,
    status,
)
from oleada_server.web.asked_diagnosis import Asked, read
from oleada_server.web.device_troubles import troubles
from oleada_server.web.parts import Parts
from oleada_server.web.words import gettext

EVENTS_SHOWN: Final = 12
ACTIVITY_SHOWN: Final = 8
RANGE_USUAL: Final = "24h"

blueprint = Blueprint("device_page", __name__)


@blueprint.get("/devices/<device_id>")
@require_role(Role.VIEWER)
def show(device_id: str) -> ResponseReturnValue:
    """Show one box; another spelling of its id leads to its one address."""
    spelt = normalise_device_id(device_id)
    if spelt != device_id:
        asked = read(request.args).args()
        return redirect(url_for("device_page.show", device_id=spelt, **asked), 301)
    read_only()
    after = live.latest_id()
    page = load(device_id, read(request.args), range_of(request.args), identity(), now_utc())
    return render_template("devices/show.html", nav="devices", after=after, **page)


def load(
    device_id: str, asked: Asked, span: str, person: Identity | None, now: datetime
) -> dict[str, Any]:
    """Return everything the templates of a box need; a part that is not read says so.

    Raises:
        DeviceNotFoundError: There is none.
    """
    device = devices.get(device_id)
    parts = Parts("devices/parts", titles() | device_diagnosis.titles())
    page: dict[str, Any] = {
        "reading": parts,
        "device": device,
        "slots": device_view.slots(device),
        "not_yet": device_view.not_yet(device),
        "range": span,
        "ranges": list(device_lanes.RANGES),
        "object_ref": f"device:{device_id}",
        "actor": activity.actor,
        "deed_word": activity.deed_word,
        "reason_word": status.reason,
        "boot_word": device_events.boot_word,
        "because_word": left_alone_pages.because_word,
        "alone_form": left_alone_pages.offered(now),
        "ref_chars_max": left_alone.REF_CHARS_MAX,
        "left_alone": (),
        "now": now,
    }
    silent_after = timedelta(seconds=config.current().silent_after_s)
    page |= {"contact": device_view.contact(device, silent_after, now)}
    page |= parts.read(("verdict", "wanted", "history"), lambda: _places(device, silent_after, now))
    page |= parts.read(("health",), lambda: {"readings": _readings(device)})
    page |= device_diagnosis.load(parts, device, asked, person, now)
    places = page.get("places", ())
    page |= parts.read(("timeline",), lambda: _timeline(device_id, span, places, now))
    page |= parts.read(("log",), lambda: {"log": _log(device_id)})
    page |= parts.read(
        ("activity",), lambda: {"events": audit.events_about(f"device:{device_id}", ACTIVITY_SHOWN)}
    )
    return page


def titles() -> dict[str, str]:
    """Return what the parts are called."""
    return {
        "verdict": gettext("What to know first"),
        "timeline": gettext("Timeline"),
        "history": gettext("Updates of this box"),
        "log": gettext("What it sent by itself"),
        "wanted": gettext("What it should run, and why"),
        "activity": gettext("Activity"),
        "health": gettext("Health"),
    }


def _readings(device: Device) -> device_readings.Readings:
    return device_readings.readings(device.health, rolling.reported_by(device.hardware_model))


def _places(device: Device, silent_after: timedelta, now: datetime) -> dict[str, Any]:
    places = of_device.places(device.id)
    wanted = device_view.wanted(places, releases.list_releases(device.hardware_model))
    last = places[0] if places else None
    dark = habits.of_box(device, now)
    return {
        "contact": device_view.contact(device, silent_after, now, dark),
        "places": places,
        "left_alone": left_alone.of(device.id, now),
        "wanted": wanted,
        "verdict": device_view.verdict(device, wanted, last, silent_after, now, dark=dark),
        "troubles": troubles(
            device, enrolment.certificate_ends(device.id), now, excess_of(device.id, now)
        ),
    }


def _log(device_id: str) -> list[device_events.Shown]:
    return [device_events.shown(event) for event in events.events_of(device_id, EVENTS_SHOWN)]


def _timeline(device_id: str, span: str, places: Sequence[Place], now: datetime) -> dict[str, Any]:
    found = device_happened.timeline(device_id, span, places, device_diagnosis.symptom_word, now)
    return {"lanes": found, "lane_titles": device_happened.lane_titles()}


def range_of(args: MultiDict[str, str]) -> str:
    """Return the range of the timeline that *args* ask for."""
    asked = args.get("range", RANGE_USUAL)
    return asked if asked in device_lanes.RANGES else RANGE_USUAL
