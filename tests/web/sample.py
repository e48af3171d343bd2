"""A small operator to look at: two models, boxes with health, and rollouts in all states."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

from oleada_server.accounts import service as accounts
from oleada_server.accounts.models import Role
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.devices.models import Device, HardwareModel
from oleada_server.live import service as live
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts import groups
from oleada_server.rollouts import service as rollouts
from oleada_server.rollouts.cover import Where
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState
from oleada_server.telemetry.models import DeviceEvent, HealthSample
from oleada_wire.ids import DEVICE_ID_ALPHABET
from sqlalchemy import insert

from tests.web.week import count_a_week

HOUR = timedelta(hours=1)
ANA = "user:a.torres"
REGIONS = ("Praha", "Brno", "Valencia", "Ostrava")
SERIAL_WITH_MARKUP = "<img src=x onerror=alert(1)>"
PEOPLE = {
    "a.torres": ("Ana Torres", Role.OPERATOR, "en", "Europe/Prague"),
    "v.dvorak": ("Věra Dvořák", Role.VIEWER, "cs", "Europe/Prague"),
    "l.ruiz": ("Luis Ruiz", Role.OPERATOR, "es", "Europe/Madrid"),
    "e.prieto": ("Elena Prieto", Role.APPROVER, "en", "Europe/Madrid"),
    "m.novak": ("Marek Novák", Role.ADMIN, "en", "Europe/Prague"),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """What was made: the number of the running rollout and its boxes."""

    rollout_id: int
    device_ids: list[str]
    now: datetime


def add_people(now: datetime) -> dict[str, str]:
    """Add one person per role; return a sign-in link's token by name."""
    return add_named(PEOPLE, now)


def add_named(people: Mapping[str, tuple[str, Role, str, str]], now: datetime) -> dict[str, str]:
    """Add *people* (full name, role, language, zone by name); return link tokens by name."""
    tokens = {}
    for name, (full_name, role, language, zone) in people.items():
        accounts.add_user(
            name, full_name=full_name, role=role, language=language, zone=zone,
            actor="system:test", now=now,
        )  # fmt: skip
        tokens[name] = accounts.create_link(name, actor="system:test", now=now)
    return tokens


def fill(now: datetime, boxes: int = 120, seed: int = 7) -> Sample:
    """Store a fleet of *boxes* boxes and rollouts around *now*; a running one in wave 3."""
    dice = Random(seed)
    db.session.add_all(
        [HardwareModel(name="VX-410", title="4K"), HardwareModel(name="VX-240", title="HD")]
    )
    db.session.flush()
    ids = _devices(boxes, now, dice)
    _halted(now, ids)
    releases = [_release("VX-410", "5.8.2", now), _release("VX-240", "5.7.9", now)]
    rollout_id = _running(releases[0], ids, now, dice)
    _draft(releases[1], now)
    tell_a_day(ids[6], now)
    count_a_week(boxes, now)
    live.touch("rollouts", now)
    db.session.commit()
    return Sample(rollout_id, ids, now)


def add_decisions(sample: Sample) -> tuple[int, int]:
    """Add a plan that awaits approval and a rollout whose wave is held; return their numbers."""
    plan = db.session.get_one(Rollout, sample.rollout_id + 1)
    asked = rollouts.create(rollouts.spec_of(plan), actor=ANA, now=sample.now, in_console=True)
    rollouts.ask_approval(asked, "lab run L-342 is clean", actor=ANA, now=sample.now)
    held = _rollout(plan.release, RolloutState.RUNNING, sample.now, started_at=sample.now - HOUR)
    mine = [one for number, one in enumerate(sample.device_ids) if not number % 5]
    mine, others = mine[:20], mine[20:120]
    wave = _wave(held, 1, "Staff homes", WaveState.HELD, share_until=0.2, boxes=len(mine),
                 opened_at=sample.now - 30 * HOUR, state_reason="too many are silent")  # fmt: skip
    mix = [BoxState.UPDATED] * 3 + [BoxState.SILENT]
    _members(wave, mine, mix, sample.now, Random(2))
    second = _wave(held, 2, "Wave 2", WaveState.WAITING, share_until=1.0, boxes=len(others))
    _members(second, others, [BoxState.QUEUED], sample.now, Random(3))
    db.session.commit()
    return asked, held.id


def add_groups(sample: Sample) -> None:
    """Add a group that lists its boxes and one by rule."""
    where = Where(region=("Brno", "Valencia"), version_max="5.8.0")
    for name, note, rule in (
        ("south", "Homes behind the old head end", where),
        ("staff-homes", "People of ours who said yes", None),
    ):
        groups.create(name, note=note, rule=rule, actor=ANA, now=sample.now)
    groups.change("staff-homes", add=sample.device_ids[:12], remove=[], actor=ANA, now=sample.now)


def move_one(sample: Sample, now: datetime) -> None:
    """Let one waiting box of the running rollout become updated, and announce it."""
    row = db.session.scalars(
        db.select(BoxInWave)
        .where(BoxInWave.rollout_id == sample.rollout_id)
        .where(BoxInWave.state == BoxState.ASSIGNED)
        .limit(1)
    ).one()
    row.state, row.changed_at = BoxState.UPDATED, now
    live.touch(f"R-{sample.rollout_id}", now)
    db.session.commit()


def _devices(boxes: int, now: datetime, dice: Random) -> list[str]:
    rows = []
    for number in range(boxes):
        model = "VX-410" if number % 5 else "VX-240"
        tail = "".join(dice.choices(DEVICE_ID_ALPHABET, k=5))
        device_id = f"{model.replace('-', '')}{number:03X}"[:8].ljust(8, "0") + tail[:4]
        silent = number % 19 == 3
        never = number % 41 == 7
        seen = None if never else now - timedelta(seconds=dice.randint(2, 280))
        if silent and not never:
            seen = now - timedelta(hours=dice.randint(2, 60))
        rows.append(
            {
                "id": device_id,
                "serial": f"{dice.randint(10**11, 10**12 - 1)}",
                "mac": ":".join(f"{dice.randint(0, 255):02X}" for _ in range(6)),
                "hardware_model": model,
                "zone": "Europe/Prague",
                "region": dice.choice(REGIONS),
                "enrolled_at": now - timedelta(days=90),
                "first_seen_at": seen,
                "last_seen_at": seen,
                "version": None if never else ("5.8.1" if model == "VX-410" else "5.7.8"),
                "security_version": 3,
                "running_slot": None if never else (slot := dice.choice("AB")),
                "slots": None if never else _slots(slot, model),
                "agent_version": None if never else "0.1.0",
                "boot_reason": None if never else "power_on",
                "boot_count": 0 if never else dice.randint(3, 90),
                "health": None if never else _health(dice),
                "health_at": seen,
            }
        )
    rows[1]["serial"] = SERIAL_WITH_MARKUP
    db.session.execute(insert(Device), rows)
    return [str(row["id"]) for row in rows]


def _slots(running: str, model: str) -> dict[str, Any]:
    new, old = ("5.8.1", "5.8.0") if model == "VX-410" else ("5.7.8", "5.7.7")
    return {
        letter: {
            "slot": letter,
            "version": new if letter == running else old,
            "status": "Active" if letter == running else "Available",
            "sha256": ("7c" if letter == running else "0b") * 32,
        }
        for letter in "AB"
    }


def tell_a_day(device_id: str, now: datetime, seed: int = 3) -> None:
    """Store what a box told in a day: health with a gap and a start, a log and a crash."""
    dice = Random(seed)
    rows = []
    for minute in range(0, 24 * 60, 10):
        if 430 < minute < 520:
            continue
        late = minute > 520
        heat = 52 + int(12 * math.sin(minute / 170)) + dice.randint(0, 4)
        sample = {
            "Device.DeviceInfo.UpTime": 40_000 + minute * 60 if not late else (minute - 520) * 60,
            "Device.DeviceInfo.TemperatureStatus.TemperatureSensor.1.Value": heat,
            "X_OLEADA_FreeBytes": 900_000_000 - minute * 90_000 + dice.randint(0, 9_000_000),
        }
        at = now - timedelta(minutes=24 * 60 - minute)
        rows.append(
            {
                "device_id": device_id,
                "boot": f"{8 if late else 7:08d}-0badc0de",
                "seq": minute + 1,
                "version": "5.8.1",
                "parameters": sample,
                "box_at": at,
                "received_at": at,
            }
        )
    db.session.execute(insert(HealthSample), rows)
    for seq, (kind, body) in enumerate(
        (
            ("log", {"lines": ["hdmi: hot plug", "hdmi: HDCP 2.2 check timed out after 5.0 s"]}),
            ("crash", {"process_name": "player", "reason": "signal 11",
                       "firmware_version": "5.8.1"}),
            ("result", {"cmd_id": "C-7", "status": "Complete", "output": "log sent, 40 lines"}),
        ),
        start=9001,
    ):  # fmt: skip
        at = now - timedelta(minutes=9100 - seq)
        db.session.add(
            DeviceEvent(
                device_id=device_id, boot="00000008-0badc0de", seq=seq, kind=kind, body=body,
                box_at=at, received_at=at,
            )
        )  # fmt: skip


def _health(dice: Random) -> dict[str, Any]:
    return {
        "Device.DeviceInfo.UpTime": dice.randint(300, 900_000),
        "Device.DeviceInfo.TemperatureStatus.TemperatureSensor.1.Value": dice.randint(44, 92),
        "Device.DeviceInfo.MemoryStatus.Free": dice.randint(40_000, 400_000),
        "X_OLEADA_FreeBytes": dice.randint(200, 900) * 1_000_000,
    }


def _release(model: str, version: str, now: datetime, digest: str = "5a") -> Release:
    found = Release(
        hardware_model=model,
        version=version,
        security_version=3,
        min_version="5.6.0",
        target_path=f"{model}/{version}.img",
        sha256=digest * 32,
        size_bytes=212_400_000,
        provides=["codec:hevc-main10"],
        fixes=["F-118"],
        notes={
            "en": "Picture comes back after standby on all televisions.",
            "es": "La imagen vuelve tras la espera en todos los televisores.",
            "cs": "Obraz se po pohotovosti vrátí na všech televizorech.",
        },
        signed_by=["3f9a1c07d2e4b586" * 4, "c41be2907765aa10" * 4],
        state=ReleaseState.PUBLISHED,
        published_at=now - timedelta(days=4),
        published_by=ANA,
    )
    db.session.add(found)
    db.session.flush()
    return found


def _rollout(release: Release, state: RolloutState, now: datetime, **changed: Any) -> Rollout:
    found = Rollout(
        release_id=release.id,
        name=f"{release.hardware_model} {release.version}",
        state=state,
        created_at=now - timedelta(days=3),
        created_by=ANA,
        salt="salt",
        silent_after_s=86_400,
        attempts_max=3,
        in_flight_max=500,
        spread_s=30,
        lease_s=3600,
        **changed,
    )
    db.session.add(found)
    db.session.flush()
    return found


def _wave(rollout: Rollout, position: int, name: str, state: WaveState, **changed: Any) -> Wave:
    limits = {
        "success_share_min": 0.95,
        "failed_share_max": 0.02,
        "silent_share_max": 0.1,
        "sample_min": 10,
        "soak_s": 172_800,
    }
    found = Wave(
        rollout_id=rollout.id, position=position, name=name, state=state, **{**limits, **changed}
    )
    db.session.add(found)
    db.session.flush()
    return found


def _running(release: Release, ids: list[str], now: datetime, dice: Random) -> int:
    rollout = _rollout(
        release, RolloutState.RUNNING, now, started_at=now - 70 * HOUR,
        window_start_min=120, window_end_min=300,
    )  # fmt: skip
    mine = [one for number, one in enumerate(ids) if number % 5]
    cuts = [0, len(mine) // 16, len(mine) // 6, len(mine) // 2, len(mine)]
    groups = [mine[a:b] for a, b in pairwise(cuts)]
    for index, name in enumerate(("Staff homes", "Wave 2")):
        opened = now - (70 - 20 * index) * HOUR
        wave = _wave(
            rollout, index + 1, name, WaveState.PASSED, share_until=(0.05, 0.15)[index],
            boxes=len(groups[index]), opened_at=opened, soak_from=opened + 2 * HOUR,
            passed_at=opened + 18 * HOUR,
        )  # fmt: skip
        _members(wave, groups[index], [BoxState.UPDATED], now, dice)
    third = _wave(rollout, 3, "Wave 3", WaveState.OPEN, share_until=0.5, boxes=len(groups[2]),
                  opened_at=now - 18 * HOUR, failed_share_max=0.05)  # fmt: skip
    mix = _mixed(len(groups[2]))
    _members(third, groups[2], mix, now, dice)
    fourth = _wave(rollout, 4, "Wave 4", WaveState.WAITING, share_until=1.0, boxes=len(groups[3]))
    _members(fourth, groups[3], [BoxState.QUEUED], now, dice)
    ref = f"R-{rollout.id}"
    audit.record(ANA, "rollout.create", ref, now=now - 71 * HOUR)
    audit.record(ANA, "rollout.start", ref, now=now - 70 * HOUR, reason="lab run is clean")
    audit.record("system:rollouts", "wave.open", ref, now=now - 18 * HOUR,
                 reason=f"wave 3 opens for {len(groups[2])} boxes")  # fmt: skip
    return rollout.id


def _mixed(boxes: int) -> list[BoxState]:
    shares = {
        BoxState.INSTALLING: 0.01,
        BoxState.CHECKING: 0.004,
        BoxState.LEASED: 0.008,
        BoxState.DOWNLOADING: 0.03,
        BoxState.ASSIGNED: 0.14,
        BoxState.ROLLED_BACK: 0.005,
        BoxState.DECLINED: 0.007,
        BoxState.SILENT: 0.011,
    }
    others = [s for s, share in shares.items() for _ in range(max(1, round(share * boxes)))]
    return others + [BoxState.UPDATED] * (boxes - len(others))


def _halted(now: datetime, ids: list[str]) -> None:
    release = _release("VX-410", "5.8.0", now, "0b")
    reason = "wave 1: 6 of 20 failed, more than 2%"
    rollout = _rollout(
        release, RolloutState.HALTED, now, started_at=now - 120 * HOUR, ended_at=now - 119 * HOUR,
        state_reason=reason,
    )  # fmt: skip
    rollout.created_at = now - 121 * HOUR
    wave = _wave(rollout, 1, "Canaries", WaveState.HALTED, share_until=0.1, boxes=20,
                 opened_at=now - 120 * HOUR, state_reason=reason)  # fmt: skip
    mix = [BoxState.UPDATED] * 14 + [BoxState.ROLLED_BACK] * 6
    members = [one for number, one in enumerate(ids) if number % 5][:20]
    _members(wave, members, mix, now - 119 * HOUR, Random(1), shuffled=False)


def _draft(release: Release, now: datetime) -> None:
    rollout = _rollout(release, RolloutState.DRAFT, now)
    _wave(rollout, 1, "Wave 1", WaveState.WAITING, share_until=0.2)
    _wave(rollout, 2, "Wave 2", WaveState.WAITING, share_until=1.0)


def _members(
    wave: Wave, ids: list[str], mix: list[BoxState], now: datetime, dice: Random,
    *, shuffled: bool = True,
) -> None:  # fmt: skip
    ended = {
        BoxState.ROLLED_BACK: ("health-check", "the media player was not ready within 90 s"),
        BoxState.DECLINED: ("too-large", "the slot has 180 MB, the image needs 212 MB"),
    }
    states = [mix[number % len(mix)] for number in range(len(ids))]
    if shuffled:
        dice.shuffle(states)
    rows = [
        {
            "rollout_id": wave.rollout_id,
            "wave_id": wave.id,
            "device_id": device_id,
            "state": state,
            "attempt": 0 if state is BoxState.QUEUED else 1,
            "reason": ended.get(state, (None, None))[0],
            "detail": ended.get(state, (None, None))[1],
            "version_before": "5.8.1",
            "changed_at": now - HOUR,
            "ended_at": _ended(state, wave, now, dice),
        }
        for device_id, state in zip(ids, states, strict=True)
    ]
    db.session.execute(insert(BoxInWave), rows)


def _ended(state: BoxState, wave: Wave, now: datetime, dice: Random) -> datetime | None:
    if state in {BoxState.QUEUED, BoxState.ASSIGNED, BoxState.LEASED} or wave.opened_at is None:
        return None
    return wave.opened_at + (now - wave.opened_at) * dice.betavariate(2, 3)


def at_noon() -> datetime:
    """Return a fixed moment for what needs no real clock."""
    return datetime(2026, 11, 19, 9, 42, 7, tzinfo=UTC)
