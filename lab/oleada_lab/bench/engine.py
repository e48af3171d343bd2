"""The engine of rollouts at size, on a real PostgreSQL: a wave, a tick, a halt, the memory.

Boxes are rows made by SQL, but every figure is of the shipped functions: the preview and the
dry run, the start that writes down a million boxes part after part, ticks that assign, with
nothing and with news, newcomers, and the way from a bad verdict to the halt. A figure is the
whole of what it says; of ticks it is the slowest one. Seconds are those of the clock on the
wall; beside them stand those of the processor, of this process and the database together,
which a busy machine leaves alone, and the load of the machine before and after.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
from oleada_server import config as settings
from oleada_server import schema
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.devices.service import record_model
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts import newcomers, preparing, service, ticks
from oleada_server.rollouts.evidence import folding
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.models import BoxInWave
from oleada_server.rollouts.rules import rules_from
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_server.rollouts.states import BoxState, RolloutState
from oleada_store.keys import make_online_keys
from oleada_wire import messages
from oleada_wire.ids import BootId
from oleada_wire.words import Phase, Reason
from sqlalchemy import event, select, text

from oleada_lab.clock import monotonic_s, now_utc
from oleada_lab.errors import LabError
from oleada_lab.postgres import Cluster

BOXES: Final = 1_000_000
MODEL: Final = "VX-410"
VERSION: Final = "5.8.2"
ACTOR: Final = "user:bench"
TICKS: Final = 5
NEWS: Final = 200
"""Boxes that become good between two ticks that are measured."""
IN_FLIGHT: Final = 2000
ISSUED_PER_TICK: Final = ticks.CHUNK_BOXES * ticks.CHUNKS_A_TICK
GOALS: Final = {
    "preview_s": 5.0,
    "start_s": 60.0,
    "tick_idle_s_max": 1.0,
    "tick_news_s_max": 1.0,
    "verdict_to_halt_s": 1.0,
}
"""Seconds of the wall. What they are on a machine with nothing else to do, those of the
processor say better: they are compared with the same goals."""
GOAL_GROWTH_BYTES: Final = 256 * 1024 * 1024
"""What a million boxes may cost of memory beside what a small rollout needs: no list of objects."""
ABORT: Final = {"on": "failed", "share_max": 0.5, "sample_min": 10, "last": 20}
"""Halts soon, whatever a million good boxes have proved before; evidence is judged beside it."""
MINUTE: Final = timedelta(minutes=1)


def measure(home: Path, boxes: int = BOXES, news: int = NEWS) -> dict[str, Any]:
    """Return the figures of a rollout to *boxes* boxes, with *news* good ones before each tick.

    Raises:
        LabError: PostgreSQL is missing, or the rollout does not halt.
    """
    cluster = Cluster(home / "postgresql")
    try:
        cluster.make()
        config = settings.load(home / "oleada", {})
        make_online_keys(config.keys_dir)
        app = create_app(replace(config, database_url=cluster.url), WITHOUT_PAGES)
        with app.app_context():
            schema.upgrade()
            try:
                return _measured(boxes, news, now_utc())
            finally:
                db.session.remove()
                db.engine.dispose()
    finally:
        cluster.remove()


def _measured(boxes: int, news: int, now: datetime) -> dict[str, Any]:
    _fill(boxes, now)
    found: dict[str, Any] = {"boxes": boxes, "news": news, "load_before": os.getloadavg()[0]}
    before = _peak_bytes()
    with _timed(found, "preview"):
        preview = service.preview(_plan())
    with _timed(found, "dry_run"):
        service.dry_run(_plan(), preview, now)
    spec = replace(_plan(), salt=preview.salt)
    rollout_id = service.create(spec, actor=ACTOR, now=now)
    with _timed(found, "start"):
        found |= _started(rollout_id, now)
    found["boxes_in_waves"] = sum(wave.boxes for wave in service.get(rollout_id).waves)
    found["grown_bytes"] = _peak_bytes() - before
    _advance(rollout_id, min(IN_FLIGHT, boxes // 10), now)
    while folding.fold(rollout_id, 1):  # part by part, as the ticks of its hours did
        pass
    found["log_rows"] = db.session.scalar(text("SELECT count(*) FROM box_outcome"))
    now += MINUTE
    with _timed(found, "first_tick"):
        ticks.tick(now)
    found |= _issued(rollout_id, now)
    found |= _slowest("tick_idle", lambda at: None, now)
    found |= _slowest("tick_news", lambda at: _good_news(rollout_id, news, at), now)
    with _timed(found, "newcomers"):
        newcomers.tick(now + 20 * MINUTE)
    found |= _halt(rollout_id, now + 21 * MINUTE)
    found["grown_bytes_in_all"] = _peak_bytes() - before
    found["load_after"] = os.getloadavg()[0]
    found["grown_bytes_per_box"] = round(found["grown_bytes_in_all"] / boxes, 1)
    return found | judged(found)


def judged(found: dict[str, Any]) -> dict[str, Any]:
    """Return the goals, each figure as a share of its goal, and whether all are met.

    The same of the processor's seconds: no machine is faster than these.
    """
    goals = {**GOALS, "grown_bytes_in_all": GOAL_GROWTH_BYTES}
    shares = {name: round(found[name] / goal, 3) for name, goal in goals.items()}
    by_cpu = {_cpu_name(name): round(found[_cpu_name(name)] / s, 3) for name, s in GOALS.items()}
    return {
        "goals": goals,
        "of_goal": shares,
        "met": max(shares.values()) <= 1,
        "of_goal_by_cpu": by_cpu,
        "met_by_cpu": max(by_cpu.values()) <= 1,
    }


def _cpu_name(name: str) -> str:
    """Return under which name the processor's seconds stand beside those of the wall."""
    stem, unit, rest = name.rpartition("_s")
    return f"{stem}_cpu{unit}{rest}"


def _started(rollout_id: int, now: datetime) -> dict[str, Any]:
    """Start the rollout, and do as the scheduler does until all its boxes are written down."""
    found: dict[str, Any] = {}
    with _timed(found, "start_request"):
        service.start(rollout_id, actor=ACTOR, now=now)
    parts = []
    while service.get(rollout_id).preparing is not None:
        one: dict[str, Any] = {}
        with _timed(one, "tick"):
            preparing.tick(now)
        parts.append(one["tick_s"])
    return {**found, "start_ticks": len(parts), "start_tick_s_max": max(parts, default=0.0)}


def _issued(rollout_id: int, now: datetime) -> dict[str, Any]:
    """Let a tick assign to as many boxes as it may, which have agents of today; how long?

    They read a signature over a batch.
    """
    last = {"wave": service.get(rollout_id).waves[-1].id, "most": ISSUED_PER_TICK}
    for statement in (
        "UPDATE box_in_wave SET state = 'queued', assignment_expires_at = NULL,"
        " deadline_at = NULL WHERE id IN (SELECT id FROM box_in_wave"
        " WHERE wave_id = :wave AND state = 'assigned' LIMIT :most)",
        "UPDATE device SET reads_batches = true FROM box_in_wave AS box"
        " WHERE device_id = device.id AND wave_id = :wave AND box.state = 'queued'",
    ):
        names = {name: value for name, value in last.items() if f":{name}" in statement}
        db.session.execute(text(statement), names)
    db.session.commit()
    before, found = _assigned(rollout_id), dict[str, Any]()
    with _timed(found, "issue_tick"):
        ticks.tick(now)
    return {"issued_per_tick": _assigned(rollout_id) - before, **found}


def _assigned(rollout_id: int) -> int:
    query = text("SELECT count(*) FROM box_in_wave WHERE rollout_id = :id AND state = 'assigned'")
    found = db.session.scalar(query, {"id": rollout_id})
    db.session.rollback()
    return int(found or 0)


def _plan() -> RolloutSpec:
    waves = tuple(
        WaveSpec(name=name, share_until=share, failed_share_max=0.10, sample_min=50, soak_s=0)
        for name, share in (("first", 0.002), ("all", 1.0))
    )
    return RolloutSpec(
        hardware_model=MODEL,
        version=VERSION,
        waves=waves,
        in_flight_max=IN_FLIGHT,
        evidence=EvidenceSpec(accepted_share=0.005, ripe_after_s=900),
        rules=rules_from({"newcomers": True, "abort": [ABORT]}),
    )


def _fill(boxes: int, now: datetime) -> None:
    """Store *boxes* devices that run one of three older versions, and the release."""
    record_model(MODEL)
    db.session.flush()
    pattern = Device(
        id="VX41PATTERN0", serial="pattern", hardware_model=MODEL, zone="UTC", enrolled_at=now,
        first_seen_at=now, last_seen_at=now, security_version=1, connected=True,
    )  # fmt: skip
    db.session.add(pattern)
    db.session.flush()
    own = {
        "id": "'VX41' || lpad(n::text, 8, '0')",
        "serial": "'SN' || n",
        "region": "(ARRAY['Brno', 'Praha', 'Valencia'])[1 + n % 3]",
        "zone": "(ARRAY['Europe/Prague', 'Europe/Madrid'])[1 + n % 2]",
        "version": "(ARRAY['5.8.0', '5.8.1', '5.7.9'])[1 + n % 3]",
    }
    names = [column.name for column in Device.__table__.columns]
    values = ", ".join(own.get(name, f"device.{name}") for name in names)
    db.session.execute(
        text(
            f"INSERT INTO device ({', '.join(names)}) SELECT {values} FROM device,"  # noqa: S608 - our own names
            " generate_series(0, :last) AS n WHERE device.id = :pattern"
        ),
        {"last": boxes - 1, "pattern": pattern.id},
    )
    db.session.delete(pattern)
    db.session.add(
        Release(
            hardware_model=MODEL, version=VERSION, security_version=1, min_version=None,
            target_path=f"{MODEL}/{VERSION}.img", sha256="5a" * 32, size_bytes=200_000_000,
            provides=[], fixes=[], notes={"en": "For a measurement."}, signed_by=["00" * 32],
            state=ReleaseState.PUBLISHED, published_at=now, published_by=ACTOR,
        )
    )  # fmt: skip
    db.session.commit()
    _analyse()


def _advance(rollout_id: int, trials: int, now: datetime) -> None:
    """Bring the rollout to where it is longest: most boxes are good, each with its log rows.

    The last wave is open; so many *trials* of it are at work, the rest holds an assignment.
    """
    last = service.get(rollout_id).waves[-1].id
    statements = (
        "SET LOCAL session_replication_role = replica",  # every row is right: check no key twice
        "UPDATE wave SET state = 'passed', soak_from = :at, passed_at = :at, opened_at = :at"
        " WHERE rollout_id = :rollout",
        "UPDATE wave SET state = 'open', soak_from = NULL, passed_at = NULL WHERE id = :last",
        "UPDATE box_in_wave SET state = 'assigned', attempt = 1, assigned_at = :at,"
        " assignment_expires_at = :later, deadline_at = :later WHERE rollout_id = :rollout",
        "UPDATE box_in_wave SET state = 'updated', counted = 'good', assignment_expires_at = NULL,"
        " deadline_at = NULL, armed_at = :at, ended_at = :at"
        " WHERE rollout_id = :rollout AND (wave_id <> :last OR id % 10 < 6)",
        "UPDATE box_in_wave SET state = 'checking', counted = 'open', armed_at = :at,"
        " lease_expires_at = :later WHERE id IN (SELECT id FROM box_in_wave WHERE"
        " rollout_id = :rollout AND state = 'assigned' ORDER BY id LIMIT :trials)",
        "INSERT INTO box_outcome (rollout_id, stratum_id, box_id, attempt, was, now, at)"
        " SELECT b.rollout_id, s.id, b.id, 1, NULL, 'open', :at FROM box_in_wave b JOIN stratum s"
        " ON s.rollout_id = b.rollout_id AND s.version = b.version_before"
        " WHERE b.rollout_id = :rollout AND b.counted IS NOT NULL",
        "INSERT INTO box_outcome (rollout_id, stratum_id, box_id, attempt, was, now, at)"
        " SELECT b.rollout_id, s.id, b.id, 1, 'open', 'good', :at FROM box_in_wave b JOIN stratum s"
        " ON s.rollout_id = b.rollout_id AND s.version = b.version_before"
        " WHERE b.rollout_id = :rollout AND b.counted = 'good'",
    )
    values = {
        "at": now,
        "later": now + timedelta(days=7),
        "rollout": rollout_id,
        "last": last,
        "trials": trials,
    }
    for statement in statements:
        names = {name: value for name, value in values.items() if f":{name}" in statement}
        db.session.execute(text(statement), names)
    db.session.commit()
    _analyse()


def _analyse() -> None:
    """Do what the database does by itself in the minutes after so many rows have changed."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _slowest(name: str, news: Callable[[datetime], None], now: datetime) -> dict[str, Any]:
    """Return what the slowest of some ticks takes, each after its *news*."""
    took: dict[str, list[float]] = {"_s_max": [], "_cpu_s_max": []}
    for number in range(TICKS):
        at = now + number * timedelta(seconds=1)
        news(at)
        one: dict[str, Any] = {}
        with _timed(one, "tick"):
            ticks.tick(at)
        took["_s_max"].append(one["tick_s"])
        took["_cpu_s_max"].append(one["tick_cpu_s"])
    return {f"{name}{unit}": max(values) for unit, values in took.items()}


def _good_news(rollout_id: int, news: int, now: datetime) -> None:
    """Let boxes in their trial say that they are updated, and their trial be ripe at once."""
    for box_id, device_id in _on_trial(rollout_id, news):
        service.record_report(device_id, _verdict(box_id, is_bad=False), now)
    ripe = "UPDATE box_in_wave SET ripe_at = :at WHERE rollout_id = :rollout AND counted = 'open'"
    db.session.execute(text(f"{ripe} AND state = 'updated'"), {"at": now, "rollout": rollout_id})
    db.session.commit()


def _halt(rollout_id: int, now: datetime) -> dict[str, Any]:
    """Let boxes fail one by one, with a tick after each; return how long the last took."""
    for number, (box_id, device_id) in enumerate(_on_trial(rollout_id, 50), start=1):
        one: dict[str, Any] = {}
        with _timed(one, "verdict_to_boxes_told"), _watched(one, rollout_id):
            service.record_report(device_id, _verdict(box_id, is_bad=True), now)
            db.session.commit()
            ticks.tick(now)
        if service.get(rollout_id).state == RolloutState.HALTED:
            return {"failed_until_halt": number, **one}
        db.session.rollback()
    raise LabError("The rollout does not halt.")


@contextmanager
def _watched(into: dict[str, Any], rollout_id: int) -> Iterator[None]:
    """Note under ``verdict_to_halt_s`` when the halt was committed, as another connection sees it.

    The tick goes on: it takes assignments back from the first boxes.
    """
    begun_s, before_s = monotonic_s(), _cpu_s()
    state = text("SELECT state FROM rollout WHERE id = :id")

    def look(_session: object) -> None:
        if "verdict_to_halt_s" in into:
            return
        with db.engine.connect() as connection:
            if connection.scalar(state, {"id": rollout_id}) == RolloutState.HALTED:
                into["verdict_to_halt_s"] = round(monotonic_s() - begun_s, 3)
                into["verdict_to_halt_cpu_s"] = round(_cpu_s() - before_s, 3)

    event.listen(db.session, "after_commit", look)
    try:
        yield
    finally:
        event.remove(db.session, "after_commit", look)


def _on_trial(rollout_id: int, most: int) -> list[tuple[int, str]]:
    query = select(BoxInWave.id, BoxInWave.device_id).where(
        BoxInWave.rollout_id == rollout_id, BoxInWave.state == BoxState.CHECKING
    )
    found = db.session.execute(query.order_by(BoxInWave.id).limit(most)).all()
    db.session.rollback()
    return [(row[0], row[1]) for row in found]


def _verdict(box_id: int, *, is_bad: bool) -> messages.Report:
    return messages.Report(
        header=messages.Header(f"{box_id:032x}", 0, BootId(1, "0badcafe"), 1),
        assignment_id=f"AS-{box_id}",
        attempt=1,
        step=9,
        phase=Phase.ROLLED_BACK if is_bad else Phase.UPDATED,
        version="5.8.1" if is_bad else VERSION,
        running_slot="A",
        reason=Reason.HEALTH_CHECK if is_bad else None,
    )


@contextmanager
def _timed(into: dict[str, Any], name: str) -> Iterator[None]:
    """Note under *name* how long it took, and how much processor time."""
    begun_s, before_s = monotonic_s(), _cpu_s()
    yield
    into[f"{name}_s"] = round(monotonic_s() - begun_s, 3)
    into[f"{name}_cpu_s"] = round(_cpu_s() - before_s, 3)


def _cpu_s() -> float:
    """Return the processor time of this process and of the database's processes."""
    total = time.process_time()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a helper of the database that has just ended
            times = child.cpu_times()
            total += times.user + times.system
    return total


def _peak_bytes() -> int:
    """Return the most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
