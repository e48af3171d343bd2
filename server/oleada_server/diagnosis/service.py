"""One box diagnosed: its facts are gathered, the pure core decides, complaints are kept."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from oleada_wire.ids import BootId
from oleada_wire.words import ResultStatus
from sqlalchemy import delete, func, select

from oleada_server.actions import answers
from oleada_server.actions import service as actions
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.devices.models import Device
from oleada_server.diagnosis import derived, judge, reading, scopes
from oleada_server.diagnosis.derived import REBOOTS, Sample
from oleada_server.diagnosis.models import Complaint
from oleada_server.diagnosis.shapes import Fact, Library, Value, Verdict
from oleada_server.errors import BadInputError
from oleada_server.rollouts import of_device
from oleada_server.rollouts.states import IN_FLIGHT, BoxState
from oleada_server.telemetry import reading as telemetry
from oleada_server.telemetry.models import DeviceEvent, HealthSample

UNSAID: Final = "unsaid"
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
SAMPLES_MAX: Final = 70
"""Of one hour; boxes speak every five minutes, or every minute on the phone."""
RESULTS_MAX: Final = 40
RESULTS_FRESH: Final = timedelta(hours=1)
CHANNEL_CHARS_MAX: Final = 40
KEEP: Final = timedelta(days=90)
TELLING: Final = frozenset(
    {ResultStatus.COMPLETE, ResultStatus.NO_RESPONSE, ResultStatus.CANNOT_RESOLVE}
)
"""Results that say something of the home; one that was refused or cut short does not."""


def diagnose(
    device_id: str,
    symptom: str,
    asked: Mapping[str, bool],
    now: datetime,
    channel: str = "",
) -> Verdict:
    """Return what is most likely wrong with a box; takes part in the caller's transaction.

    Args:
        device_id: The box.
        symptom: What is complained of; ``unsaid`` when nothing was said.
        asked: What the subscriber and the desk answered, by question.
        now: Aware time.
        channel: What the subscriber calls the channel that is affected.

    Raises:
        DeviceNotFoundError: There is no such box.
        SymptomNotKnownError: There is no such playbook.
    """
    library = reading.library()
    book = reading.playbook(library, symptom)
    device = devices.get(device_id)
    facts = gather(library, device, symptom, now, channel)
    said = {f"asked:{name}": Fact(value, now) for name, value in asked.items()}
    return judge.diagnose(library, book, facts | said, now)


def gather(
    library: Library, device: Device, symptom: str, now: datetime, channel: str = ""
) -> dict[str, Fact]:
    """Return everything that is known of *device* now, by the names that signs have."""
    health: dict[str, Fact] = {}
    if device.health is not None and device.health_at is not None:
        at = derived.told_at(device.health, device.health_at, device.clock_ahead_s)
        health = derived.reported(device.health, at)
    return derived.newer(
        health,
        *_results(device.id, now),
        derived.risen(_samples(device.id, now), _counters(library)),
        scopes.facts(device, symptom, channel, now),
        _history(device, now),
    )


def complain(
    device_id: str, symptom: str, channel: str, *, actor: str, now: datetime
) -> Complaint | None:
    """Keep that somebody complains of *symptom*; commits. None if it stands there already.

    Raises:
        DeviceNotFoundError, SymptomNotKnownError: There is no such box, or symptom.
        BadInputError: The channel's name is too long, or is not printable.
    """
    device = devices.get(device_id)
    reading.playbook(reading.library(), symptom)
    name = channel.strip()
    if len(name) > CHANNEL_CHARS_MAX or not (name.isprintable() or not name):
        raise BadInputError(
            f"The channel has at most {CHANNEL_CHARS_MAX} printable characters.", "channel"
        )
    same = select(Complaint.id).where(
        Complaint.device_id == device_id,
        Complaint.symptom == symptom,
        Complaint.channel == name,
        Complaint.at > now - HOUR,
    )
    if symptom == UNSAID or db.session.scalar(same) is not None:
        db.session.rollback()
        return None
    made = Complaint(
        device_id=device.id, symptom=symptom, channel=name, region=device.region,
        hardware_model=device.hardware_model, version=device.version, at=now, said_by=actor,
    )  # fmt: skip
    db.session.add(made)
    audit.record(
        actor, "device.complaint", f"device:{device_id}", now=now, after={"symptom": symptom}
    )
    db.session.commit()
    return made


def complaints_of(device_id: str, since: datetime, limit: int) -> list[Complaint]:
    """Return the newest complaints about a box after *since*, newest first."""
    query = select(Complaint).where(Complaint.device_id == device_id, Complaint.at > since)
    return list(db.session.scalars(query.order_by(Complaint.at.desc()).limit(limit)))


def prune(now: datetime) -> int:
    """Delete complaints that are older than three months; return how many; commits."""
    gone: Any = db.session.execute(delete(Complaint).where(Complaint.at < now - KEEP))
    db.session.commit()
    return int(gone.rowcount)


def _counters(library: Library) -> list[str]:
    names = {sign.fact for sign in library.signs.values()}
    return sorted(name.removeprefix("hour:") for name in names if name.startswith("hour:"))


def _samples(device_id: str, now: datetime) -> list[Sample]:
    """Return what it said within an hour; looks of one message count by when they were taken."""
    found = telemetry.samples_of(device_id, now - HOUR, SAMPLES_MAX)
    if not found:
        return []
    last = found[-1]
    told = [Sample(_taken_at(one, last), one.boot, one.parameters) for one in found]
    return [one for one in told if one.at > now - HOUR]


def _taken_at(one: HealthSample, last: HealthSample) -> datetime:
    """Return when *one* was taken by the server's clock, as far as the newest one tells."""
    return min(one.received_at, last.received_at - (last.box_at - one.box_at))


def _results(device_id: str, now: datetime) -> list[dict[str, Fact]]:
    """Return the facts of each action that ended well lately, oldest first."""
    told = [
        order
        for order in reversed(actions.orders_of(device_id, RESULTS_MAX))
        if order.ended_at is not None
        and order.ended_at >= now - RESULTS_FRESH
        and order.status in TELLING
    ]
    came = answers.answers_of(told)
    return [
        derived.answered(order.action, came[order.id].values, order.ended_at)
        for order in told
        if order.ended_at is not None
    ]


def _history(device: Device, now: datetime) -> dict[str, Fact]:
    """Return what the server remembers of a box: silence, starts, crashes, updates."""
    found: dict[str, Value | None] = {
        "server:crashes_24h": _crashes(device.id, now),
        "server:dark_days_before_boot": _dark_days(device, now),
        **_boots(device, now),
        **_updates(device.id, now),
    }
    if device.last_seen_at is not None:
        found["server:silent_s"] = max(int((now - device.last_seen_at).total_seconds()), 0)
    return {name: Fact(value, now) for name, value in found.items() if value is not None}


def _crashes(device_id: str, now: datetime) -> int:
    query = select(func.count(DeviceEvent.id)).where(
        DeviceEvent.device_id == device_id,
        DeviceEvent.kind == "crash",
        DeviceEvent.received_at > now - DAY,
    )
    return int(db.session.scalar(query) or 0)


def _boots(device: Device, now: datetime) -> dict[str, Value | None]:
    """Return how often it began anew within a day, by its own counters."""
    oldest = (
        select(HealthSample.parameters)
        .where(HealthSample.device_id == device.id, HealthSample.received_at > now - DAY)
        .order_by(HealthSample.received_at)
        .limit(1)
    )
    before, after = db.session.scalar(oldest) or {}, device.health or {}

    def rise(name: str) -> int | None:
        first, last = before.get(f"{REBOOTS}{name}"), after.get(f"{REBOOTS}{name}")
        if type(first) is not int or type(last) is not int or last < first:
            return None
        return last - first

    return {
        "server:cold_boots_24h": rise("ColdBootCount"),
        "server:watchdog_boots_24h": rise("WatchdogBootCount"),
    }


def _dark_days(device: Device, now: datetime) -> int | None:
    """Return how long it was not heard before it came back, if that was within three days."""
    of_it = select(HealthSample.received_at).where(HealthSample.device_id == device.id)
    now_boot = HealthSample.boot == str(BootId(device.boot_count, device.boot_nonce))
    first = db.session.scalar(of_it.where(now_boot).order_by(HealthSample.received_at).limit(1))
    if first is None or first < now - 3 * DAY:
        return None
    earlier = of_it.where(HealthSample.received_at < first, ~now_boot)
    last = db.session.scalar(earlier.order_by(HealthSample.received_at.desc()).limit(1))
    return None if last is None else (first - last).days


def _updates(device_id: str, now: datetime) -> dict[str, Value | None]:
    """Return how its last updates went."""
    places = of_device.places(device_id, 5)
    ends = [(BoxState(one.box.state), one.box.changed_at) for one in places if not one.is_open]
    updated = max((at for state, at in ends if state is BoxState.UPDATED), default=None)
    fell = [at for state, at in ends if state is BoxState.ROLLED_BACK and at > now - 7 * DAY]
    return {
        "server:hours_since_update": None
        if updated is None
        else max(int((now - updated) / HOUR), 0),
        "server:fell_back_7d": bool(fell) if places else None,
        "server:updating": any(
            one.is_open and BoxState(one.box.state) in IN_FLIGHT for one in places
        ),
    }
