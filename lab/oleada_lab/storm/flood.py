"""One box that says whatever it can, without end: is it bounded, and are the others unharmed?

Quiet boxes say something now and then, before and during the flood; what counts is how
long each waits for the server's word, not the broker's. The flood comes from a process
of its own: first small messages that are all valid, with results in between that
matter, then messages as large as the wire takes, then larger ones.
"""

import multiprocessing
import random
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import psutil
from oleada_server.audit.models import AuditEvent
from oleada_server.db import db
from oleada_server.messaging.models import DeviceExcess
from oleada_server.telemetry.models import DeviceEvent, HealthSample
from oleada_wire import messages, topics
from oleada_wire.messages import Result
from oleada_wire.words import ResultStatus
from sqlalchemy import func, select

from oleada_lab.bench.identities import Identity
from oleada_lab.bench.report import quantile
from oleada_lab.clock import monotonic_s
from oleada_lab.storm import fleet, speech
from oleada_lab.storm.crowd import Crowd, Member
from oleada_lab.storm.ground import Ground

QUIET: Final = 20
PAUSE_S: Final = 0.5
BEFORE_S: Final = 10.0
LIMIT_S: Final = 600.0
WINDOW: Final = 1500
RESULTS: Final = 50
"""Messages that matter, spread over the flood: within their own quota."""
LARGE_SHARE: Final = 0.1
LARGE_BYTES: Final = 60_000
TOO_LARGE: Final = 20
TOO_LARGE_BYTES: Final = 200_000
RATIO_MAX: Final = 10.0
"""More than this and the others are harmed; two processors make three busy programs wait."""
WAIT_MAX_S: Final = 1.0
"""Below this nobody is harmed, whatever the ratio."""


def run(ground: Ground, count: int, seed: int, before_s: float = BEFORE_S) -> dict[str, Any]:
    """Return what a flood of *count* messages did to its box and to the others.

    Raises:
        LabError: A message that matters was not acknowledged in time.
    """
    dice = random.Random(f"{seed}/flood")
    config = ground.config
    identities = fleet.enrolled(ground, "FLOOD", QUIET + 1)
    address = (config.broker_host, config.broker_port, ground.ca_file)
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(
        target=_flood, args=(theirs, address, identities[0], count, seed), daemon=True
    )
    child.start()
    crowd = Crowd(*address)
    quiet = [_Quiet(Member(one), dice) for one in identities[1:]]
    broker = _broker_of(ground)
    try:
        crowd.come([one.member for one in quiet])
        crowd.run_until(lambda: all(one.member.is_ready for one in quiet), LIMIT_S, "all are in")
        before = _listen(crowd, quiet, lambda seconds: seconds >= before_s)
        memory = [broker.memory_info().rss]
        ours.send("go")
        during = _listen(crowd, quiet, lambda _: _is_over(ours, broker, memory))
        told: dict[str, Any] = ours.recv()
    finally:
        crowd.close()
        child.join(10)
        child.kill()
        ours.close()
    found = {
        "flood": count,
        **told,
        **_waits(before, during),
        **_bounds(ground, identities[0], _sent(count)),
        "broker_bytes_before": memory[0],
        "broker_bytes_max": max(memory),
    }
    all_counted = found["results_counted"] == found["results_sent"]
    return {**found, "met": found["others_unharmed"] and found["bounded"] and all_counted}


class _Quiet:
    """A box that says one thing, waits for the answer, and after a while says the next."""

    def __init__(self, member: Member, dice: random.Random) -> None:
        self.member = member
        self._tongue = speech.Tongue(dice, 3)
        self._next_s = monotonic_s() + dice.uniform(0, PAUSE_S)
        self._said: tuple[str, float] | None = None

    def turn(self, now_s: float) -> float | None:
        """Say what is due; return how long the newest answer took, once."""
        if self._said is not None:
            message_id, said_s = self._said
            if message_id not in self.member.acked:
                return None
            self._said, self._next_s = None, now_s + PAUSE_S
            return self.member.acked_at_s - said_s
        if now_s >= self._next_s:
            health = self._tongue.health(60)
            self.member.say(topics.Up.HEALTH, speech.spelt(health))
            self._said = (health.header.id, now_s)
        return None


def _listen(crowd: Crowd, quiet: Sequence[_Quiet], is_over: Any) -> list[float]:
    """Let the quiet boxes speak until *is_over* (seconds so far); return every wait, in seconds."""
    waits: list[float] = []
    began_s = monotonic_s()
    while not is_over(monotonic_s() - began_s) or not waits:
        for one in quiet:
            wait_s = one.turn(monotonic_s())
            if wait_s is not None:
                waits.append(wait_s)
        crowd.flush([one.member for one in quiet])
        crowd.turn(0.005)
    return waits


def _is_over(ours: Connection, broker: psutil.Process, memory: list[int]) -> bool:
    memory.append(broker.memory_info().rss)
    return ours.poll()


def _flood(
    theirs: Connection, address: tuple[str, int, Path], identity: Identity, count: int, seed: int
) -> None:
    """Wait for the word, then say *count* messages as fast as the broker takes them."""
    tongue = speech.Tongue(random.Random(f"{seed}/flooding"), 5)
    member = Member(identity)
    results = [_result(tongue, number) for number in range(min(RESULTS, count))]
    small = [speech.spelt(tongue.health(number)) for number in range(count)]
    large = [speech.spelt(tongue.log(LARGE_BYTES)) for _ in range(int(count * LARGE_SHARE))]
    too_large = [speech.spelt(tongue.log(TOO_LARGE_BYTES)) for _ in range(TOO_LARGE)]
    crowd = Crowd(*address, window=WINDOW)
    crowd.come([member])
    crowd.run_until(lambda: member.is_ready, LIMIT_S, "the flooding box is in")
    theirs.recv()
    each = max(1, count // len(results))
    for number, payload in enumerate(small):
        member.say(topics.Up.HEALTH, payload)
        if number % each == 0 and number // each < len(results):
            member.say(topics.Up.RESULT, messages.encode(results[number // each]))
    small_s = _let_go(crowd, member)
    for payload in [*large, *too_large]:
        member.say(topics.Up.LOG, payload)
    large_s = _let_go(crowd, member)
    crowd.run_until(
        lambda: all(one.header.id in member.acked for one in results),
        LIMIT_S,
        "what matters of the flooding box is counted",
    )
    last = tongue.health(0)  # beyond the quota by now, or the flood was none
    member.say(topics.Up.HEALTH, speech.spelt(last))
    crowd.flush([member])
    crowd.run_until(
        lambda: bool(member.pauses) or last.header.id in member.acked,
        LIMIT_S,
        "the flooding box is asked to pause",
    )
    counted = len(member.acked)
    crowd.close()
    theirs.send({
        "messages_per_s": round(len(small) / small_s),
        "large_bytes_per_s": round((sum(map(len, large)) + sum(map(len, too_large))) / large_s),
        "results_sent": len(results),
        "results_counted": sum(one.header.id in member.acked for one in results),
        "telemetry_counted": counted - len(results),
        "refused": len(member.refused),
        "pauses_told": len(member.pauses),
        "turned_away": member.turned_away,
    })  # fmt: skip


def _let_go(crowd: Crowd, member: Member) -> float:
    """Return in how many seconds the broker has taken everything that *member* has queued."""
    began_s = monotonic_s()
    crowd.flush([member])
    crowd.run_until(
        lambda: not member.queue and not member.in_flight, LIMIT_S, "the broker took the flood"
    )
    return max(monotonic_s() - began_s, 1e-6)


def _result(tongue: speech.Tongue, number: int) -> Result:
    return Result(tongue.header(), f"C-{number}", ResultStatus.COMPLETE, "pong")


def _broker_of(ground: Ground) -> psutil.Process:
    server = psutil.Process(ground.operator.server.pid)
    found = [one for one in server.children(recursive=True) if one.name() == "mosquitto"]
    return found[0]


def _sent(count: int) -> int:
    """Return how many messages a flood of *count* small ones is, the large ones with it."""
    return count + int(count * LARGE_SHARE) + TOO_LARGE


def _waits(before: Sequence[float], during: Sequence[float]) -> dict[str, Any]:
    """Return how long the others waited, and whether the flood has harmed them."""
    p95_before, p95_during = quantile(before, 0.95), quantile(during, 0.95)
    ratio = p95_during / p95_before
    return {
        "others_waits_before": len(before),
        "others_waits_during": len(during),
        "others_p95_before_s": round(p95_before, 4),
        "others_p95_during_s": round(p95_during, 4),
        "others_max_during_s": round(max(during), 4),
        "ratio": round(ratio, 2),
        "others_unharmed": ratio <= RATIO_MAX or p95_during <= WAIT_MAX_S,
    }


def _bounds(ground: Ground, flooder: Identity, sent: int) -> dict[str, Any]:
    """Return what is left of *sent* messages in rows and log, and whether that is bounded."""
    rows = _rows(ground, flooder)
    log = (ground.config.logs_dir / "worker.log").read_text(errors="replace")
    return {
        "sent": sent,
        **rows,
        "log_lines": log.count(f"{flooder.device_id} sends too much"),
        "bounded": rows["stored"] < sent and rows["excess"] > 0 and rows["audit_entries"] == 1,
    }


def _rows(ground: Ground, flooder: Identity) -> dict[str, int]:
    device_id = flooder.device_id
    with ground.rows():
        samples = select(func.count()).where(HealthSample.device_id == device_id)
        events = select(func.count()).where(DeviceEvent.device_id == device_id)
        entries = select(func.count()).where(
            AuditEvent.action == "device.over-quota", AuditEvent.object_ref == f"device:{device_id}"
        )
        found = db.session.get(DeviceExcess, device_id)
        return {
            "stored": (db.session.scalar(samples) or 0) + (db.session.scalar(events) or 0),
            "excess": found.messages if found else 0,
            "audit_entries": db.session.scalar(entries) or 0,
        }
