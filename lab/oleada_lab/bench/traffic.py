"""What a box costs on its line in a month: a real agent over TLS 1.3, every byte counted.

Three things are measured through the relay, on one box with a media player whose counters
run: a start (handshake, session, everything retained, hello, the first look), an idle
connection's ping, and a message of looks. A month is so many of each as the profile's
intervals make; only the intervals are shortened to measure, never what is said:

    messages = 30 d / (health_s x health_batch)
    pings    = messages x (ceil(health_s x health_batch / keepalive_s) - 1)
    starts   = 30, the plug is pulled every night

A look in the bench comes after one second and says what has changed since the one before,
as a look of the profile does: counters of the player move on by ``health_s`` of watching.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from oleada_agent import config, identity, keypairs, overrides
from oleada_agent.boot.disk import RealDisk

from oleada_lab.bench.relay import Carried, Relay
from oleada_lab.boxes import Box, powered
from oleada_lab.clock import monotonic_s, sleep_s
from oleada_lab.firmware.image import ImageSpec, build_small_image
from oleada_lab.media.daemon import serve
from oleada_lab.media.player import Player, Values
from oleada_lab.operator import Operator, Places, wait_until

DAYS: Final = 30
DAY_S: Final = 86_400
STARTS_A_DAY: Final = 1
KEEPALIVE_S: Final = 8
"""Short to measure; a ping of it is as long as any other."""
QUIET_S: Final = 6.0
"""Nothing was said for so long: the start has ended, its first look comes within 5 s. Less than
the keep-alive."""
PING_OVER_S: Final = 0.5
ANSWER_S: Final = 0.4
"""From a message to its acknowledgement; looks come every second."""
LIMIT_S: Final = 90.0
FRUGAL_BYTES_GOAL: Final = 1_000_000
PINGS: Final = 4
MESSAGES: Final = {"normal": 12, "frugal": 2}
"""So many are measured of each profile."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Bytes on the line, headers counted, of one thing of each kind."""

    start: float
    ping: float
    message: float


def month(settings: config.Config, costs: Costs) -> dict[str, Any]:
    """Return what a month with *settings* costs, and of what that is made."""
    gap_s = settings.health_s * settings.health_batch
    messages = DAYS * DAY_S / gap_s
    pings = messages * (math.ceil(gap_s / settings.keepalive_s) - 1)
    starts = DAYS * STARTS_A_DAY
    parts = {
        "messages": round(messages * costs.message),
        "pings": round(pings * costs.ping),
        "starts": round(starts * costs.start),
    }
    return {
        "bytes_a_month": sum(parts.values()),
        "of_which": parts,
        "counts": {"messages": round(messages), "pings": round(pings), "starts": starts},
        "bytes_each": {
            "message": round(costs.message),
            "ping": round(costs.ping),
            "start": round(costs.start),
        },
    }


def measure(home: Path) -> dict[str, Any]:
    """Return the bytes a month of each profile, on a server in *home*, and the goal.

    Raises:
        LabError: Server or box did not start, or the box said nothing.
    """
    operator = Operator(Places.under(home))
    with operator.server:
        operator.establish(["VX-410"])
        image = build_small_image(ImageSpec("VX-410", "1.0.0"), home / "factory.img")
        box = operator.add_box("410BYTES0001", "VX-410", image.path, settings={"trial_s": 60})
        with powered([box]):
            wait_until(lambda: any(one["version"] for one in operator.devices()), 60, "a hello")
        broker = operator.server.config
        with Relay((broker.broker_host, broker.broker_port)) as relay:
            _move(box, relay.port)
            start, ping = _of_connection(box, relay)
            profiles = {name: _of_profile(box, relay, name, start, ping) for name in MESSAGES}
    frugal = profiles["frugal"]["bytes_a_month"]
    return {
        "profiles": profiles,
        "goals": {"frugal_bytes_a_month_max": FRUGAL_BYTES_GOAL},
        "met": frugal <= FRUGAL_BYTES_GOAL,
    }


def _of_profile(box: Box, relay: Relay, name: str, start: float, ping: float) -> dict[str, Any]:
    disk = RealDisk(box.directory)
    overrides.forget(disk)
    overrides.change(disk, "profile", name)
    settings = config.load(box.directory)
    message = _of_message(box, relay, settings, MESSAGES[name])
    return month(settings, Costs(start, ping, message))


def _of_connection(box: Box, relay: Relay) -> tuple[float, float]:
    """Return what a start and a ping cost."""
    disk = RealDisk(box.directory)
    for name, value in (("health_s", DAY_S), ("keepalive_s", KEEPALIVE_S)):
        overrides.change(disk, name, value)
    overrides.change(disk, "connect_spread_s", 0)
    before = relay.carried()
    with powered([box]):
        begun = _quiet(relay, before)
        wait_until(
            lambda: relay.carried().said >= begun.said + PINGS, PINGS * KEEPALIVE_S * 4, "pings"
        )
        sleep_s(PING_OVER_S)
        idle = relay.carried().since(begun)
    start = begun.since(before)
    return start.line_bytes, idle.line_bytes / idle.said


def _of_message(box: Box, relay: Relay, settings: config.Config, number: int) -> float:
    """Return what a message costs, of the looks that *settings* put together."""
    disk = RealDisk(box.directory)
    for name, value in (
        ("health_s", 1), ("health_batch", settings.health_batch), ("keepalive_s", 3_600),
        ("connect_spread_s", 0),
    ):  # fmt: skip
        overrides.change(disk, name, value)
    before = relay.carried()
    with powered([box]):
        wait_until(lambda: relay.carried().said > before.said + 2, LIMIT_S, "a session")
        with serve(box.directory, Watched(step_s=settings.health_s)):
            limit_s = settings.health_batch * 2 + LIMIT_S
            first = _next(relay, _next(relay, relay.carried(), limit_s), limit_s)
            end = first
            for _ in range(number):
                end = _next(relay, end, limit_s)
    return end.since(first).line_bytes / number


@dataclass
class Watched(Player):
    """A player of which *step_s* more seconds were watched with each look at it."""

    step_s: int = 0

    def status(self) -> Values:
        """Return every reading, later than the last time."""
        self.watched_s += self.step_s
        return Player.status(self)


def _next(relay: Relay, before: Carried, limit_s: float) -> Carried:
    """Return what was carried when the box has said one thing more and was answered."""
    wait_until(lambda: relay.carried().said > before.said, limit_s, "the box speaks")
    sleep_s(ANSWER_S)
    return relay.carried()


def _quiet(relay: Relay, before: Carried) -> Carried:
    """Return what was carried when the box has spoken since *before* and nothing goes on."""
    wait_until(lambda: relay.carried().said > before.said, LIMIT_S, "the box speaks")
    seen, since_s = relay.carried(), monotonic_s()
    while monotonic_s() - since_s < QUIET_S:
        sleep_s(0.05)
        found = relay.carried()
        if found.payload_bytes != seen.payload_bytes:
            seen, since_s = found, monotonic_s()
    return relay.carried()


def _move(box: Box, port: int) -> None:
    """Let *box* find its broker at *port* of this machine."""
    disk = RealDisk(box.directory)
    folder = box.directory / keypairs.DIRECTORY
    certificate = (folder / keypairs.CERTIFICATE).read_text("ascii")
    authority = (folder / identity.AUTHORITY).read_text("ascii")
    moved = replace(identity.load(disk), broker_host="127.0.0.1", broker_port=port)
    identity.store(disk, moved, certificate, authority)
