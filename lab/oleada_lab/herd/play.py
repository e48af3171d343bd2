"""A blackout in virtual time: every box loses power, and the street has it back.

Each box is its line, the agent's own pauses (``oleada_agent.reconnect``) and its hello;
the broker refuses whoever comes above its rate. Boxes of one model boot in the same
time, so without a pause before the first connection they would knock in one second.
"""

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from oleada_agent.reconnect import Reconnect, first_spread_ms, hello_pause_ms
from oleada_wire import topics
from oleada_wire.words import BootReason

from oleada_lab.sim.broker import Delivery, Message, SimBroker
from oleada_lab.sim.link import HOME, SimLink
from oleada_lab.sim.transport import Caller, SimTransport
from oleada_lab.sim.world import Dice, World

MODEL: Final = "VX-410"
BOOT_MS: Final = (25_000, 28_000)
"""From power to the agent's first line; what one model and one image leave to chance."""
AT_ONCE_SHARE: Final = 0.5
"""Of the boxes whose power is back in the first second; the rest follow within the minute."""
BACK_LIMIT_S: Final = 300
PEAK_SHARE_MAX: Final = 0.8
HELLO_BYTES: Final = 700
ACK_BYTES: Final = 200
ANSWER_MS: Final = 200
"""From a hello in the broker to its acknowledgement; 60 times what the worker needs."""
OFF_MS: Final = 600_000
SERVER: Final = "server"


@dataclass(frozen=True, slots=True)
class Herd:
    """What is played.

    Attributes:
        return_ms: From the first box that has power again to the last.
        spread_s: The agent's setting ``connect_spread_s``.
        broker_per_s: Connections that the broker takes in a second.
    """

    devices: int
    broker_per_s: int
    spread_s: int
    return_ms: int = 60_000
    seed: int = 1


@dataclass(slots=True)
class _Station:
    """One box, as far as a blackout is concerned."""

    herd: Herd
    world: World
    device_id: str
    dice: Dice
    transport: SimTransport = field(init=False)
    power_ms: int = 0
    back_ms: int | None = None
    hellos: int = 0

    def boot(self) -> None:
        """Be given power."""
        self.power_ms = self.world.now_ms
        spread_ms = first_spread_ms(self.herd.spread_s, BootReason.POWER_ON)
        self.world.after(self.dice.between(*BOOT_MS), lambda: self.transport.start(spread_ms))

    def connected(self) -> None:
        """Say hello, until somebody answers."""
        self.hellos = 0
        self._say_hello()

    def disconnected(self, why: str) -> None:
        """Wait for the next connection."""

    def heard(self, topic: str, payload: object) -> None:
        """Be back: the server has answered."""
        del topic, payload
        if self.back_ms is None:
            self.back_ms = self.world.now_ms

    def _say_hello(self) -> None:
        if self.back_ms is not None or not self.transport.is_connected:
            return
        topic = topics.up(self.device_id, topics.Up.HELLO)
        self.transport.send(Message(topic, self.device_id, HELLO_BYTES))
        self.world.after(hello_pause_ms(self.hellos, self.dice.below), self._say_hello)
        self.hellos += 1


@dataclass(slots=True)
class _Server:
    """Answers every hello after a while."""

    world: World
    broker: SimBroker

    def deliver(self, delivery: Delivery) -> None:
        """Answer whoever speaks."""
        self.broker.acknowledge(SERVER, delivery.mid)
        topic = topics.down(str(delivery.message.payload), topics.Down.ACK)
        answer = Message(topic, b"ack", ACK_BYTES, qos=0)
        self.world.after(ANSWER_MS, lambda: self.broker.publish(SERVER, answer))

    def closed(self, why: str) -> None:
        """The broker does not restart here."""


def play(herd: Herd) -> dict[str, Any]:
    """Return how *herd* came back, and whether that is good enough."""
    world = World(herd.seed)
    broker = SimBroker(world, connects_per_s_max=herd.broker_per_s, queued_max=herd.devices * 2)
    server = _Server(world, broker)
    broker.connect(server, SERVER)
    broker.subscribe(SERVER, [f"{topics.PREFIX}/d/+/up/+"])
    broker.counts.per_second.clear()
    stations = [_station(herd, world, broker, number) for number in range(herd.devices)]
    order = world.stream("return", "street")
    for station in stations:
        at_once = order.share() < AT_ONCE_SHARE
        back_ms = order.below(min(1_000, herd.return_ms) if at_once else herd.return_ms)
        world.after(OFF_MS + back_ms, station.boot)
    world.run(OFF_MS + 3_600_000, partial(_all_back, stations))
    return _judged(herd, world, broker, stations)


def _all_back(stations: list[_Station]) -> bool:
    return stations[-1].back_ms is not None and all(one.back_ms for one in stations)


def _station(herd: Herd, world: World, broker: SimBroker, number: int) -> _Station:
    device_id = f"VX410{number:06d}"
    dice = world.stream("box", device_id)
    station = _Station(herd, world, device_id, dice)
    station.transport = SimTransport(
        world,
        broker,
        SimLink(world.stream("line", device_id), HOME),
        caller=Caller(device_id, (topics.down_filter(device_id), topics.model_filter(MODEL))),
        owner=station,
        reconnect=lambda: Reconnect(dice.below),
    )
    return station


def _judged(
    herd: Herd, world: World, broker: SimBroker, stations: list[_Station]
) -> dict[str, Any]:
    counts = broker.counts
    back = sorted(one.back_ms - OFF_MS for one in stations if one.back_ms is not None)
    all_back_s = math.ceil(back[-1] / 1000) if len(back) == herd.devices else None
    limit = int(herd.broker_per_s * PEAK_SHARE_MAX)
    wrong = []
    if all_back_s is None or all_back_s > BACK_LIMIT_S:
        wrong.append(f"{len(back)} of {herd.devices} were back, the last after {all_back_s} s")
    if counts.peak_per_second > limit:
        wrong.append(f"{counts.peak_per_second} connections came in one second, of {limit}")
    if counts.refused:
        wrong.append(f"{counts.refused} connections were refused")
    return {
        "devices": herd.devices,
        "seed": herd.seed,
        "return_s": herd.return_ms / 1000,
        "connect_spread_s": herd.spread_s,
        "broker_per_s": herd.broker_per_s,
        "back": len(back),
        "all_back_s": all_back_s,
        "median_back_s": round(back[len(back) // 2] / 1000, 1) if back else None,
        "peak_per_s": counts.peak_per_second,
        "peak_limit_per_s": limit,
        "refused": counts.refused,
        "connections": counts.accepted - 1,
        "events": world.events,
        "trace": world.trace_hash(),
        "wrong": wrong,
        "met": not wrong,
    }
