"""A broker of MQTT 5 in virtual time, as Mosquitto is set up for boxes.

It has what a fleet can trip over: sessions that outlive connections and expire, a
window of messages that are not acknowledged yet, a queue that drops when it is full,
the last will, retained messages, one connection for each name (the newer one wins),
shared subscriptions, rights for each topic, a limit of connections a second, and
restarts with and without its store. It knows no network: a :class:`Peer` is the end of
a connection, and what it is given has yet to travel.
Source: MQTT 5.0; mosquitto.conf(5).
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from oleada_lab.sim.mqtt import (
    Delivery,
    Filter,
    Message,
    Peer,
    RefusedError,
    literal,
    matches,
    without_share,
)
from oleada_lab.sim.world import World

__all__ = ["Delivery", "Message", "Peer", "RefusedError", "SimBroker"]

RECEIVE_MAX: Final = 20
QUEUED_MAX: Final = 1_000
"""Messages that wait for a session, as in the broker's configuration of the server."""
SECOND_MS: Final = 1_000


@dataclass(slots=True)
class Session:
    """What the broker remembers of one client, connected or not.

    Attributes:
        filters: By the text that was subscribed to.
        under_way: By mid, what the client has not acknowledged; in order.
        queue: What waits for the window.
    """

    client_id: str
    expiry_s: int
    peer: Peer | None = None
    will: Message | None = None
    left_ms: int = 0
    filters: dict[str, "Filter"] = field(default_factory=dict)
    under_way: dict[int, Message] = field(default_factory=dict)
    queue: deque[Message] = field(default_factory=deque)
    last_mid: int = 0
    receive_max: int = RECEIVE_MAX


@dataclass(slots=True)
class Counts:
    """What the broker has seen.

    Attributes:
        per_second: Connections that were tried, by second of the story.
        dropped: Messages for which a queue had no room.
        forbidden: Publications against the rights of their client.
    """

    accepted: int = 0
    refused: int = 0
    taken_over: int = 0
    dropped: int = 0
    forbidden: int = 0
    delivered: int = 0
    per_second: dict[int, int] = field(default_factory=dict)

    @property
    def peak_per_second(self) -> int:
        """Return how many connections were tried in the worst second."""
        return max(self.per_second.values(), default=0)


def anybody(client_id: str, topic: str) -> bool:
    """Return that everybody may write everything."""
    return bool(client_id and topic)


class SimBroker:
    """One broker.

    Args:
        connects_per_s_max: More in one second are refused; None for no limit.
        may_write: The rights: takes client id and topic.
    """

    def __init__(
        self,
        world: World,
        *,
        connects_per_s_max: int | None = None,
        queued_max: int = QUEUED_MAX,
        may_write: Callable[[str, str], bool] = anybody,
    ) -> None:
        self.counts = Counts()
        self.is_up = True
        self._world = world
        self._connects_per_s_max = connects_per_s_max
        self._queued_max = queued_max
        self._may_write = may_write
        self._sessions: dict[str, Session] = {}
        self._retained: dict[str, Message] = {}
        self._leaves: dict[str, dict[str, None]] = {}
        self._by_prefix: dict[str, dict[str, None]] = {}
        self._turns: dict[str, int] = {}
        self._routes: dict[str, list[tuple[str, Filter]]] = {}

    # -- connections -------------------------------------------------------------------

    def connect(
        self,
        peer: Peer,
        client_id: str,
        *,
        clean_start: bool = False,
        expiry_s: int = 0,
        will: Message | None = None,
        receive_max: int = RECEIVE_MAX,
    ) -> bool:
        """Accept *peer*; return whether its session was still there.

        Args:
            receive_max: Messages that may be under way to this client at a time.

        Raises:
            RefusedError: the broker is down, or too many come in this second.
        """
        second = self._world.now_ms // SECOND_MS
        tried = self.counts.per_second.get(second, 0) + 1
        self.counts.per_second[second] = tried
        limit = self._connects_per_s_max
        if not self.is_up or (limit is not None and tried > limit):
            self.counts.refused += 1
            raise RefusedError("the broker is down" if not self.is_up else "too many at once")
        self.counts.accepted += 1
        session = self._alive(client_id)
        if session is not None and session.peer is not None:
            self.counts.taken_over += 1
            old = session.peer
            self._end(session, with_will=True)
            old.closed("taken over")
        if session is not None and clean_start:
            self._forget(session)
            session = None
        was_there = session is not None
        if session is None:
            session = self._sessions[client_id] = Session(client_id, expiry_s)
        session.peer, session.will, session.expiry_s = peer, will, expiry_s
        session.receive_max = receive_max
        return was_there

    def resume(self, client_id: str) -> None:
        """Send again what was not acknowledged, then what waits."""
        session = self._sessions[client_id]
        for mid, message in list(session.under_way.items()):
            self._give(session, Delivery(message, mid, is_duplicate=True))
        self._pump(session)

    def disconnect(self, client_id: str, peer: Peer) -> None:
        """Take leave of a client that says goodbye: its will is not published."""
        session = self._sessions.get(client_id)
        if session is not None and session.peer is peer:
            self._end(session, with_will=False)

    def lose(self, client_id: str, peer: Peer) -> None:
        """Take note that a connection is gone without a goodbye."""
        session = self._sessions.get(client_id)
        if session is not None and session.peer is peer:
            self._end(session, with_will=True)

    def is_connected(self, client_id: str) -> bool:
        """Return whether the broker believes in a connection of *client_id*."""
        session = self._sessions.get(client_id)
        return session is not None and session.peer is not None

    def restart(self, *, keeps_store: bool) -> None:
        """Stop: every connection ends; without its store everything is forgotten."""
        self.is_up = False
        sessions = list(self._sessions.values())
        for session in sessions:
            peer, session.peer, session.will = session.peer, None, None
            session.left_ms = self._world.now_ms
            if peer is not None:
                peer.closed("the broker went down")
        if not keeps_store:
            self._sessions.clear()
            self._retained.clear()
            self._leaves.clear()
            self._by_prefix.clear()
            self._routes.clear()

    def come_up(self) -> None:
        """Accept connections again."""
        self.is_up = True

    # -- messages ----------------------------------------------------------------------

    def subscribe(self, client_id: str, filters: Iterable[str], qos: int = 1) -> None:
        """Let *client_id* hear what matches *filters*, what is retained at once."""
        session = self._sessions[client_id]
        for one in filters:
            plain = without_share(one)
            if one not in session.filters:
                self._routes.clear()
            session.filters[one] = Filter(plain, "" if plain == one else one, qos)
            self._by_prefix.setdefault(literal(plain), {})[client_id] = None
            if plain != one:
                continue  # a shared subscription gets nothing that is retained
            for message in self._retained_under(one):
                if matches(one, message.topic):
                    self._queue(session, _at_most(message, qos))

    def publish(self, client_id: str, message: Message) -> None:
        """Give *message* to everybody who has subscribed to it, if it may be written."""
        if not self._may_write(client_id, message.topic):
            self.counts.forbidden += 1
            return
        if message.is_retained:
            self._retain(message)
        shared: dict[str, list[Session]] = {}
        for name, one in self._route(message.topic):
            session = self._alive(name)
            if session is None:
                continue
            if one.group:
                shared.setdefault(one.group, []).append(session)
            else:
                self._queue(session, _at_most(message, one.qos))
        for group, members in shared.items():
            self._queue(self._next_of(group, members), message)

    def acknowledge(self, client_id: str, mid: int) -> None:
        """Take note that *client_id* has message *mid*; the next one takes its place."""
        session = self._sessions.get(client_id)
        if session is not None and session.under_way.pop(mid, None) is not None:
            self._pump(session)

    def retained(self, topic: str) -> Message | None:
        """Return what is retained for *topic*."""
        return self._retained.get(topic)

    # -- inside ------------------------------------------------------------------------

    def _retain(self, message: Message) -> None:
        leaves = self._leaves.setdefault(message.topic.rpartition("/")[0], {})
        if message.payload in (b"", None):
            self._retained.pop(message.topic, None)
            leaves.pop(message.topic, None)
        else:
            self._retained[message.topic] = message
            leaves[message.topic] = None

    def _retained_under(self, pattern: str) -> list[Message]:
        """Return what *pattern* may match; few where it is one level below a plain topic."""
        parent = literal(pattern)
        if pattern == f"{parent}/+":
            return [self._retained[topic] for topic in self._leaves.get(parent, ())]
        return list(self._retained.values())

    def _route(self, topic: str) -> list[tuple[str, Filter]]:
        """Return who hears *topic* and by which filter, in the order of subscription."""
        found = self._routes.get(topic)
        if found is None:
            found = self._routes[topic] = []
            for name in self._hearers(topic):
                filters = self._sessions[name].filters.values()
                found.extend((name, one) for one in filters if one.hears(topic))
        return found

    def _hearers(self, topic: str) -> list[str]:
        """Return clients with a filter that may match *topic*, in the order of subscription."""
        found = dict(self._by_prefix.get("", {}))
        end = len(topic)
        while end > 0:
            found.update(self._by_prefix.get(topic[:end], {}))
            end = topic.rfind("/", 0, end)
        return [name for name in found if name in self._sessions]

    def _next_of(self, group: str, members: list[Session]) -> Session:
        present = [one for one in members if one.peer is not None] or members
        turn = self._turns.get(group, 0)
        self._turns[group] = turn + 1
        return present[turn % len(present)]

    def _queue(self, session: Session, message: Message) -> None:
        if message.qos == 0:
            if session.peer is not None:
                self._give(session, Delivery(message, 0))
            return
        if len(session.queue) >= self._queued_max:
            self.counts.dropped += 1
            return
        session.queue.append(message)
        self._pump(session)

    def _pump(self, session: Session) -> None:
        while session.queue and session.peer is not None:
            if len(session.under_way) >= session.receive_max:
                return
            message = session.queue.popleft()
            if message.expires_ms is not None and message.expires_ms <= self._world.now_ms:
                continue
            session.last_mid = session.last_mid % 65_535 + 1
            session.under_way[session.last_mid] = message
            self._give(session, Delivery(message, session.last_mid))

    def _give(self, session: Session, delivery: Delivery) -> None:
        if session.peer is not None:
            self.counts.delivered += 1
            session.peer.deliver(delivery)

    def _end(self, session: Session, *, with_will: bool) -> None:
        will, session.peer, session.will = session.will, None, None
        session.left_ms = self._world.now_ms
        if session.expiry_s == 0:
            self._forget(session)
        if will is not None and with_will:
            self.publish(session.client_id, will)

    def _alive(self, client_id: str) -> Session | None:
        """Return the session of *client_id*, unless it has expired by now."""
        session = self._sessions.get(client_id)
        if session is None or session.peer is not None:
            return session
        if self._world.now_ms - session.left_ms >= session.expiry_s * 1000:
            self._forget(session)
            return None
        return session

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.client_id, None)
        self._routes.clear()
        for one in session.filters.values():
            self._by_prefix.get(literal(one.plain), {}).pop(session.client_id, None)


def _at_most(message: Message, qos: int) -> Message:
    return message if message.qos <= qos else replace(message, qos=qos)
