"""A box's connection to the broker over its line, in virtual time.

The pauses before connections are the agent's own (``oleada_agent.reconnect``). What is
modelled is paho and TCP: a message waits behind the ones before it, one that was not
acknowledged is sent again over the next connection, and an end that hears nothing
believes in the connection until its keepalive is over.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from oleada_agent.reconnect import Reconnect

from oleada_lab.sim.broker import Delivery, Message, RefusedError, SimBroker
from oleada_lab.sim.link import DeadError, SilentError, SimLink, Way
from oleada_lab.sim.world import World

CONNECT_LIMIT_MS: Final = 5_000
"""So long paho waits for an answer to CONNECT."""
SESSION_EXPIRY_S: Final = 7 * 24 * 3600
BROKER_GIVES_UP: Final = 1.5
"""Of the keepalive, as MQTT 5.0, 3.1.2.10 asks."""
BOX_GIVES_UP: Final = 1.8
"""Of the keepalive; paho asks after one and ends the connection a little before the second."""


class Owner(Protocol):
    """Whose connection it is."""

    def connected(self) -> None:
        """There is a connection, and what is for the box is subscribed to."""
        ...

    def disconnected(self, why: str) -> None:
        """There is none; another is being sought."""
        ...

    def heard(self, topic: str, payload: object) -> None:
        """A message has come."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who connects.

    Attributes:
        filters: What the box subscribes to.
        will: Spoken by the broker when the box is lost.
    """

    client_id: str
    filters: tuple[str, ...]
    keepalive_ms: int = 60_000
    will: Message | None = None


@dataclass(slots=True)
class _Line:
    """One connection; the broker's ``Peer`` for as long as it lasts."""

    transport: "SimTransport"
    began_ms: int
    used_ms: int
    is_accepted: bool = False
    is_stuck: bool = False
    stuck: list[tuple[Way, int, Callable[[], None]]] = field(default_factory=list)

    def deliver(self, delivery: Delivery) -> None:
        """Let *delivery* travel to the box."""
        self.transport.bring(self, delivery)

    def closed(self, why: str) -> None:
        """The broker has ended it; the box hears of it half a round trip later."""
        self.transport.hang_up(self, why)


class SimTransport:
    """Seeks a connection while there is power, and keeps one.

    Attributes:
        link: The line; whoever changes it calls ``line_changed``.
    """

    def __init__(
        self,
        world: World,
        broker: SimBroker,
        link: SimLink,
        *,
        caller: Caller,
        owner: Owner,
        reconnect: Callable[[], Reconnect],
    ) -> None:
        self.link = link
        self._world, self._broker = world, broker
        self._caller, self._owner = caller, owner
        self._new_reconnect = reconnect
        self._reconnect = reconnect()
        self._life = 0
        self._line: _Line | None = None
        self._unacknowledged: dict[int, Message] = {}
        self._sent = 0

    @property
    def is_connected(self) -> bool:
        """Whether the box believes in a connection."""
        return self._line is not None and self._line.is_accepted

    def start(self, spread_ms: int) -> None:
        """Begin to seek a connection; the first pause is a part of *spread_ms*."""
        self._life += 1
        self._reconnect = self._new_reconnect()
        self._later(self._reconnect.first_ms(spread_ms), self._connect)

    def lose_power(self) -> None:
        """Stop without a word; the broker finds out by its keepalive."""
        self._life += 1
        self._unacknowledged.clear()
        line, self._line = self._line, None
        if line is not None:
            self._broker_will_notice(line)

    def leave(self) -> None:
        """Say goodbye, as an agent does that is being stopped."""
        self._life += 1
        self._unacknowledged.clear()
        line, self._line = self._line, None
        if line is not None:
            self._broker.disconnect(self._caller.client_id, line)

    def line_changed(self) -> None:
        """Take note that the line is cut, silent, or well again."""
        line = self._line
        if line is None:
            return
        if self.link.is_cut:
            self._die(line, "no carrier")
        elif self.link.silent:
            self._stall(line)
        elif line.is_stuck:
            line.is_stuck = False
            stuck, line.stuck = line.stuck, []
            for way, size_bytes, act in stuck:
                self._carry(line, way, size_bytes, act)

    def send(self, message: Message) -> bool:
        """Publish *message*; return whether there is a connection to do it over."""
        line = self._line
        if line is None or not line.is_accepted:
            return False
        self._sent += 1
        if message.qos:
            self._unacknowledged[self._sent] = message
        self._publish(line, self._sent, message)
        return True

    # -- connecting --------------------------------------------------------------------

    def _connect(self) -> None:
        now_ms = self._world.now_ms
        line = self._line = _Line(self, now_ms, now_ms)
        try:
            wait_ms = self.link.connect_ms()
        except DeadError as error:
            self._ended(line, str(error))
        except SilentError as error:
            why = str(error)
            self._later(CONNECT_LIMIT_MS, lambda: self._ended(line, why))
        else:
            self._later(wait_ms, lambda: self._knock(line))

    def _knock(self, line: _Line) -> None:
        if line is not self._line:
            return
        caller, broker = self._caller, self._broker
        try:
            broker.connect(line, caller.client_id, expiry_s=SESSION_EXPIRY_S, will=caller.will)
        except RefusedError as error:
            self._ended(line, str(error))
            return
        line.is_accepted = True
        self._world.note(caller.client_id, "is connected")
        broker.resume(caller.client_id)
        broker.subscribe(caller.client_id, caller.filters)
        for number, message in list(self._unacknowledged.items()):
            self._publish(line, number, message)
        self._owner.connected()

    def _ended(self, line: _Line, why: str) -> None:
        if line is not self._line:
            return
        self._line = None
        self.link.forget_connection()
        lasted_ms = self._world.now_ms - line.began_ms
        pause_ms = self._reconnect.next_ms(was_accepted=line.is_accepted, lasted_ms=lasted_ms)
        if line.is_accepted:
            self._world.note(self._caller.client_id, f"is not connected: {why}")
            self._owner.disconnected(why)
        self._later(pause_ms, self._connect)

    # -- what travels ------------------------------------------------------------------

    def bring(self, line: _Line, delivery: Delivery) -> None:
        """Let *delivery* travel down; it is acknowledged when it has come."""

        def arrive() -> None:
            if delivery.mid:
                self._broker.acknowledge(self._caller.client_id, delivery.mid)
            self._owner.heard(delivery.message.topic, delivery.message.payload)

        self._carry(line, Way.DOWN, delivery.message.size_bytes, arrive)

    def hang_up(self, line: _Line, why: str) -> None:
        """Let the box hear that the broker has ended *line*."""
        if not self.link.silent:
            self._later(self.link.profile.rtt_ms // 2, lambda: self._ended(line, why))

    def _publish(self, line: _Line, number: int, message: Message) -> None:
        def arrive() -> None:
            self._unacknowledged.pop(number, None)
            self._broker.publish(self._caller.client_id, message)

        self._carry(line, Way.UP, message.size_bytes, arrive)

    def _carry(self, line: _Line, way: Way, size_bytes: int, act: Callable[[], None]) -> None:
        if line.is_stuck:
            line.stuck.append((way, size_bytes, act))
            return
        now_ms = self._world.now_ms
        idle_ms = min(now_ms - line.used_ms, self._caller.keepalive_ms)
        line.used_ms = now_ms
        try:
            wait_ms = self.link.carry(size_bytes, way, now_ms, idle_ms)
        except SilentError:
            line.stuck.append((way, size_bytes, act))
            self._stall(line)
        except DeadError as error:
            self._die(line, str(error))
        else:

            def happen() -> None:
                if line is self._line and not line.is_stuck:
                    act()
                elif line is self._line:
                    line.stuck.append((way, size_bytes, act))

            self._world.after(wait_ms, happen)

    def _stall(self, line: _Line) -> None:
        """Let both ends find out in their time that nothing comes any more."""
        if line.is_stuck:
            return
        line.is_stuck = True
        self._broker_will_notice(line)
        patience_ms = int(self._caller.keepalive_ms * BOX_GIVES_UP)

        def give_up() -> None:
            if line.is_stuck:
                self._ended(line, "keepalive")

        self._later(patience_ms, give_up)

    def _broker_will_notice(self, line: _Line) -> None:
        patience_ms = int(self._caller.keepalive_ms * BROKER_GIVES_UP)

        def notice() -> None:
            if line.is_stuck or line is not self._line:
                self._broker.lose(self._caller.client_id, line)

        self._world.after(patience_ms, notice)

    def _die(self, line: _Line, why: str) -> None:
        self._broker.lose(self._caller.client_id, line)
        self._ended(line, why)

    def _later(self, delay_ms: int, act: Callable[[], None]) -> None:
        life = self._life

        def happen() -> None:
            if life == self._life:
                act()

        self._world.after(delay_ms, happen)
