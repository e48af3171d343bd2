"""How long somebody on the phone waits: from "run" to the first result, and to the verdict.

A thousand light boxes are connected and tell their health as boxes do; real boxes with real
agents are diagnosed meanwhile, a few calls at a time, over REST: "run" is the request that
begins every safe check, the first result is when REST shows that one of them has ended, the
verdict is asked for when all have. Everything runs on one machine, the boxes too.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import psutil
from oleada_server.actions.models import ActionOrder
from oleada_server.db import db
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import Header, Health, SlotInfo
from sqlalchemy import select

from oleada_lab.bench.identities import issue
from oleada_lab.bench.light_clients import LightFleet
from oleada_lab.bench.report import quantile
from oleada_lab.clinic.bed import healthy
from oleada_lab.clinic.ward import MODEL, Guest, Ward
from oleada_lab.clock import monotonic_s, now_utc, sleep_s

LIGHT: Final = 1_000
REAL: Final = 20
ROUNDS: Final = 2
CALLS_AT_ONCE: Final = 2
HEALTH_S: Final = 300
"""Between two health messages of a box, as the agent's own default."""
LIMIT_S: Final = 300
LOOK_S: Final = 0.1
FIRST_P95_S: Final = 2.0
VERDICT_P95_S: Final = 15.0
SYMPTOMS: Final = ("no-picture", "buffering", "no-sound", "application-closes")


@dataclass(frozen=True, slots=True)
class Call:
    """One call: seconds from "run" to the first result, to the last, and to the verdict."""

    first_s: float
    last_s: float
    verdict_s: float
    checks: int


def measure(
    home: Path, seed: int, light: int = LIGHT, real: int = REAL, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Return the times of *rounds* calls of each of *real* boxes, and the goals.

    Raises:
        LabError: This machine can not do it, or a box does not answer.
    """
    with Ward.open(home) as ward, _crowd(ward, home, light, seed) as said:
        guests = _moved_in(ward, real, seed)
        try:
            psutil.cpu_percent()
            calls = [call for number in range(rounds) for call in _round(guests, number)]
            busy = psutil.cpu_percent()
        finally:
            for guest in guests:
                guest.leave()
    first, verdict = [one.first_s for one in calls], [one.verdict_s for one in calls]
    found: dict[str, Any] = {
        "light_boxes": light,
        "real_boxes": real,
        "calls": len(calls),
        "checks": sum(one.checks for one in calls),
        "calls_at_once": CALLS_AT_ONCE,
        "health_messages": len(said),
        "first_result_s_p50": round(quantile(first, 0.5), 3),
        "first_result_s_p95": round(quantile(first, 0.95), 3),
        "last_result_s_p95": round(quantile([one.last_s for one in calls], 0.95), 3),
        "verdict_s_p50": round(quantile(verdict, 0.5), 3),
        "verdict_s_p95": round(quantile(verdict, 0.95), 3),
        "machine_busy_percent": busy,
        "goals": {"first_result_s_p95": FIRST_P95_S, "verdict_s_p95": VERDICT_P95_S},
    }
    return {**found, "met": all(found[name] <= goal for name, goal in found["goals"].items())}


def _moved_in(ward: Ward, count: int, seed: int) -> list[Guest]:
    """Return *count* real boxes that were heard."""
    dice = Random(seed)
    guests = [ward.admit(healthy(dice), "Brno", f"bench {n}") for n in range(count)]
    for guest in guests:  # by this thread: a box dies with the one that gave it power
        guest.patient.start()
    for guest in guests:
        guest.settle()
    return guests


def _round(guests: Sequence[Guest], number: int) -> list[Call]:
    """Diagnose every box once; some at a time, as at a desk with so many people."""
    symptom = SYMPTOMS[number % len(SYMPTOMS)]
    for guest in guests:
        _forget_checks(guest)
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        return list(pool.map(lambda guest: _call(guest, symptom), guests))


def _call(guest: Guest, symptom: str) -> Call:
    """Run the checks of one call and take the times."""
    began_s = monotonic_s()
    begun = {one["id"] for one in guest.begin_checks(symptom)["begun"]}
    first_s = 0.0
    while True:
        orders = [one for one in guest.orders() if one["id"] in begun]
        over = sum(one["state"] in ("done", "silent") for one in orders)
        if over and not first_s:
            first_s = monotonic_s() - began_s
        if over == len(begun):
            break
        sleep_s(LOOK_S)
    last_s = monotonic_s() - began_s
    guest.verdict(symptom)
    return Call(first_s, last_s, monotonic_s() - began_s, len(begun))


def _forget_checks(guest: Guest) -> None:
    """Let the checks of the round before be so old that they begin again by themselves."""
    with guest.ward.house.app.app_context():
        mine = select(ActionOrder).where(ActionOrder.device_id == guest.device_id)
        for order in db.session.scalars(mine):
            order.asked_at -= timedelta(hours=1)
        db.session.commit()
        db.session.remove()


@contextmanager
def _crowd(ward: Ward, home: Path, count: int, seed: int) -> Iterator[list[str]]:
    """Let *count* light boxes be connected and tell their health; yields who has told it."""
    config = ward.house.operator.server.config
    identities = issue(config, home / "identities", MODEL, count)
    fleet = LightFleet(identities, config.pki_dir / "service-ca.pem")
    stop, said = threading.Event(), list[str]()
    try:
        fleet.connect("127.0.0.1", config.broker_port, LIMIT_S)
        thread = threading.Thread(target=_talk, args=(fleet, Random(seed), stop, said))
        thread.start()
        try:
            yield said
        finally:
            stop.set()
            thread.join()
    finally:
        fleet.close()


def _talk(fleet: LightFleet, dice: Random, stop: threading.Event, said: list[str]) -> None:
    """Let one box after the other tell its health, so that each does so every 300 s."""
    pause_s, next_s, number = HEALTH_S / len(fleet.boxes), monotonic_s(), 0
    while not stop.is_set():
        if monotonic_s() >= next_s:
            box = fleet.boxes[number % len(fleet.boxes)]
            fleet.publish(box, topics.Up.HEALTH, _health(dice, number))
            said.append(box.identity.device_id)
            number, next_s = number + 1, next_s + pause_s
        fleet.turn(min(LOOK_S, max(0.0, next_s - monotonic_s())))


def _health(dice: Random, number: int) -> bytes:
    header = Header(
        f"{dice.getrandbits(128):032x}", int(now_utc().timestamp() * 1000),
        BootId(1, "0badcafe"), number + 2,
    )  # fmt: skip
    parameters: dict[str, bool | int | str] = {
        "Device.DeviceInfo.UpTime": 1000 + number,
        "Device.WiFi.EndPoint.1.Stats.SignalStrength": -40 - dice.randrange(30),
        "X_OLEADA_FreeBytes": dice.randrange(1 << 30),
    }
    slots = (SlotInfo("A", "Active", "1.0.0"),)
    return messages.encode(Health(header, "1.0.0", "A", slots, parameters))
