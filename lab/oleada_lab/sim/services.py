"""The server of a story: its real services on SQLite in memory, spoken to through the broker.

A batch goes through the real inbox, and what was queued through the real outbox; the
scheduler's ticks are the real ones, and every word is signed. What stands in is the
network of the worker, and the wish to tick: nothing is asked of a database of which
nobody has said anything and in which nothing is due.
"""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from flask import current_app
from oleada_server.messaging import inbox, outbox
from oleada_server.messaging.service import next_header
from oleada_server.releases import service as releases
from oleada_server.rollouts import going_back, plan_box, service
from oleada_server.rollouts.authorise import ASSIGNMENT_RENEW, WAVE_RENEW
from oleada_server.rollouts.plan import MOVING
from oleada_server.rollouts.rules import Rules
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState
from oleada_server.worker import ack_bytes
from oleada_wire import messages, topics
from oleada_wire.topics import DeviceTopic, Down, Up

from oleada_lab.check import facts
from oleada_lab.scenario_shapes import SERVER_COMMIT, TICK_COMMIT, Explore
from oleada_lab.sim import services_app
from oleada_lab.sim.broker import Message
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.desk import Desk
from oleada_lab.sim.killing import BATCH, TICK, Killer
from oleada_lab.sim.looking import Listening, Looking
from oleada_lab.sim.street import Street
from oleada_lab.sim.terms import SALT, Terms, members
from oleada_lab.sim.ticker import Ticker

TICK_MS: Final = 30_000
"""After somebody has said something; the real scheduler ticks each second."""
SLOW_TICK_MS: Final = 25 * 3_600_000
"""Between looks whether metadata has half of its life of two days behind it; it has by then."""
SENT_AT_ONCE: Final = 500
ACTOR: Final = "user:lab"
A_MINUTE_MS: Final = 60_000
AN_HOUR_MS: Final = 60 * A_MINUTE_MS
NOTHING: Final = timedelta(0)
EXPLORED: Final = {TICK_COMMIT: (TICK,), SERVER_COMMIT: (TICK, BATCH)}
UNSENT: Final = (
    "SELECT EXISTS (SELECT 1 FROM outbox_message) "
    "OR EXISTS (SELECT 1 FROM retained_message WHERE sent_revision < revision)"
)
DUE: Final = (
    "SELECT (SELECT MIN(deadline_at) FROM box_in_wave), "
    "(SELECT MIN(assignment_expires_at) FROM box_in_wave), "
    "(SELECT MIN(authorised_until) FROM wave), "
    "(SELECT MIN(datetime(soak_from, '+' || soak_s || ' seconds')) FROM wave "
    "WHERE state = 'soaking'), "
    "(SELECT MIN(datetime(looked_at, '+1 minutes')) FROM evidence_terms "
    "WHERE EXISTS (SELECT 1 FROM box_in_wave WHERE counted = 'open')), "
    "(SELECT MIN(datetime(hours_to, '+75 minutes')) FROM evidence_terms WHERE watches_hours = 1)"
)
"""While trials are open the boxes beside are looked at: a server that does not was away. An hour
is closed a quarter of an hour after its end."""


class Services:
    """The server's services beside a broker; ``start`` begins the rollout.

    Attributes:
        desk: The worker's place at the broker.
        first_meta: The metadata that boxes were told when they were enrolled.
        killer: Kills its ticks and batches, where a story explores that.
    """

    def __init__(self, street: Street, terms: Terms, looking: Looking, killer: Killer) -> None:
        self._world, self._broker, self._terms = street.world, street.broker, terms
        self._looking, self.killer = looking, killer
        self._listening = Listening(looking.database, street.tell)
        self._backs: list[Looking] = []
        self._rollout_id = 0
        self._health: set[str] = set()
        self._boots = 1
        self.desk = Desk(street.world, street.broker, self._store_batch, self._refill)
        self._ticker = Ticker(street.world, self.desk, self._tick, pause_ms=TICK_MS)
        self.first_meta = services_app.first_meta(terms.hardware_model)
        services_app.publish(terms, street.world.now)
        self.desk.begin()
        self._world.after(SLOW_TICK_MS, self._slow_tick)

    @property
    def state(self) -> RolloutState:
        """Of the rollout."""
        return self._looking.state

    @property
    def reason(self) -> str:
        """Why the rollout ended early; empty if it has not."""
        return self._looking.reason

    def start(self) -> None:
        """Plan the rollout and start it."""
        now = self._world.now
        self._rollout_id = service.create(_spec(self._terms), actor=ACTOR, now=now)
        self._ticker.begin()
        service.start(self._rollout_id, actor=ACTOR, now=now)
        self._settled()

    def is_over(self) -> bool:
        """Return whether every rollout has ended and nothing is expected of any box."""
        if self._terms.goes_back and self._looking.owes_a_way_back:
            return False
        return all(look.is_over() for look in self._looks())

    def states(self) -> dict[BoxState, int]:
        """Return how many boxes are in each state; those of no box are left out."""
        found = [box.state for box in self._looking.boxes.values()]
        return {state: found.count(state) for state in BoxState if state in found}

    def shown(self) -> dict[str, tuple[str, str]]:
        """Return state and reason of each box in its newest rollout, as a page would show them."""
        return {
            name: (str(box.state), box.reason or "")
            for look in self._looks()
            for name, box in look.boxes.items()
        }

    def back(self) -> dict[BoxState, int]:
        """Return how many boxes that were sent back are in each state."""
        return Counter(box.state for look in self._backs for box in look.boxes.values())

    def waves_opened(self) -> int:
        """Return how many waves were ever open."""
        return sum(state is not WaveState.WAITING for state in self._looking.waves)

    def halted_from(self) -> tuple[str, ...]:
        """Return the versions before whose boxes are halted while others go on."""
        return self._looking.halted

    def assigned_again(self) -> int:
        """Return how many boxes were assigned more than once."""
        return sum(box.attempt > 1 for box in self._looking.boxes.values())

    def has_health(self, message_id: str) -> bool:
        """Return whether a health message is stored."""
        return message_id in self._health

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows of the database, below the services, as somebody does who looks on."""
        return self._looking.database.execute(query).fetchall()

    # -- what a person does ------------------------------------------------------------

    def pause(self) -> None:
        """Pause, if it runs."""
        self._do(
            {RolloutState.RUNNING},
            lambda now: service.pause(self._rollout_id, "a person", actor=ACTOR, now=now),
        )

    def resume(self) -> None:
        """Go on after a pause; its time is nobody's silence."""
        self._do(
            {RolloutState.PAUSED},
            lambda now: service.resume(self._rollout_id, actor=ACTOR, now=now),
        )

    def stop(self) -> None:
        """Stop for good, and take every assignment back."""
        self._do(
            MOVING,
            lambda now: service.stop(self._rollout_id, "a person stopped it", actor=ACTOR, now=now),
        )

    def retry(self) -> None:
        """Assign again to whoever has no outcome that is good."""
        boxes = self._looking.boxes.items()
        again = [name for name, box in boxes if plan_box.may_retry(box.state)]
        if again:
            self._do(
                {RolloutState.RUNNING, RolloutState.PAUSED},
                lambda now: service.retry(self._rollout_id, actor=ACTOR, now=now, device_ids=again),
            )

    def _do(self, states: set[RolloutState] | frozenset[RolloutState],
            deed: Callable[[datetime], object]) -> None:  # fmt: skip
        """Do *deed* if the rollout is in one of *states*; later, if no server runs."""
        if not self.desk.is_up:
            self._world.after(A_MINUTE_MS, lambda: self._do(states, deed))
        elif self.state in states:
            was = self.state
            deed(self._world.now)
            self._settled()
            if self.state is not was:
                self._world.tell(f"a person says: {self.state}")

    # -- what boxes say ----------------------------------------------------------------

    def _store_batch(self, batch: list[Message]) -> dict[str, object]:
        now = self._world.now
        found = [inbox.Incoming(one.topic, _bytes_of(one)) for one in batch]
        stored = self.killer.play(BATCH, lambda: inbox.store(found, now))
        self._health.update(_health_in(found, stored.counted))
        before = [look.boxes for look in self._looks()]
        leased = self._publish()
        self._listening.look()
        for look in reversed(self._looks()):  # a box is at work for the newest that it is in
            mine = [box for box in leased if box in look.boxes or look is self._looking]
            look.after_batch(now, mine)
            leased = [box for box in leased if box not in mine]
        if [look.boxes for look in self._looks()] != before:
            self._ticker.want(TICK_MS)
        boxes = {**stored.counted, **stored.refused}
        return {
            box: ack_bytes(next_header(now), stored.counted[box], stored.refused[box])
            for box in boxes
        }

    # -- the tick ----------------------------------------------------------------------

    def _tick(self) -> None:
        now = self._world.now

        def tick() -> None:
            service.tick(now)
            if self._terms.goes_back:
                going_back.tick(now)

        self.killer.play(TICK, tick)
        self._settled()

    def _settled(self) -> None:
        """Send what was decided, look at it, and tick again when something is due."""
        self._publish()
        self._looking.after_tick(self._world.now)
        self._backs.extend(self._looking.ways_back())
        for look in self._backs:
            look.after_tick(self._world.now)
        due = self._next_due()
        if due is not None:
            wait_ms = int((due - self._world.now).total_seconds() * 1000)
            self._ticker.want(max(TICK_MS, wait_ms))

    def _next_due(self) -> datetime | None:
        """Return when something is due although nobody says anything."""
        if self.is_over():
            return None
        if self._terms.goes_back and self._looking.owes_a_way_back:
            return self._world.now
        (found,) = self._looking.database.execute(DUE)
        early = (NOTHING, ASSIGNMENT_RENEW, WAVE_RENEW, NOTHING, NOTHING, NOTHING)
        moments = [
            datetime.fromisoformat(f"{at}+00:00") - before
            for at, before in zip(found, early, strict=True)
            if at is not None
        ]
        return min(moments, default=None)

    def _looks(self) -> list[Looking]:
        return [self._looking, *self._backs]

    def _slow_tick(self) -> None:
        self._world.after(SLOW_TICK_MS if self.desk.is_up else AN_HOUR_MS, self._slow_tick)
        if self.desk.is_up:
            releases.refresh_online_metadata(self._world.now)
            self._publish()

    # -- what is sent ------------------------------------------------------------------

    def _refill(self) -> None:
        """Find out on a new connection what the broker has lost, as the publisher does."""
        if self.desk.boots != self._boots:
            self._boots = self.desk.boots
            services_app.forget_boot(current_app)
        kept = self._broker.retained(outbox.CANARY_TOPIC)
        held = int(kept.payload) if kept is not None and isinstance(kept.payload, bytes) else 0
        if held != outbox.canary():
            outbox.send_all_again()
        self._publish()

    def _publish(self) -> list[str]:
        """Send what the broker has not; return the boxes that were granted a lease."""
        leased: list[str] = []
        while self.desk.is_connected and self._looking.database.execute(UNSENT).fetchone()[0]:
            sending = outbox.unsent(self._world.now, SENT_AT_ONCE)
            for one in sending:
                self._send(one)
                leased.extend(_leased_in(one))
            canary = outbox.mark_sent(sending)
            if canary is not None:
                self.desk.retain(outbox.CANARY_TOPIC, str(canary).encode())
        return leased

    def _send(self, one: outbox.Sending) -> None:
        left_ms = None if one.expiry_s is None else one.expiry_s * 1000
        expires_ms = None if left_ms is None else self._world.now_ms + left_ms
        if one.retain:
            self.desk.retain(one.topic, one.payload, expires_ms)
        else:
            self.desk.send(one.topic, one.payload, expires_ms=expires_ms)


@contextmanager
def services(
    street: Street, terms: Terms, versions: Mapping[str, str], explore: Explore | None = None
) -> Iterator[Services]:
    """Yield the services with the boxes of *versions* enrolled, in an app context.

    They are killed at each commit that *explore* names.

    Raises:
        ScenarioError: a wave covers no box.
    """
    members(terms, list(versions))
    with services_app.app(terms.hardware_model, versions) as database:
        looking = Looking(database, street.world, street.tell, terms.in_flight_max)
        explored = explore or Explore("")
        killer = Killer(
            database,
            EXPLORED.get(explored.axis, ()),
            list(map(Kept, explored.persistence)),
            once=explored.once,
            tell=lambda what: street.tell(facts.KilledServer(what)),
        )
        yield Services(street, terms, looking, killer)


def _spec(terms: Terms) -> RolloutSpec:
    limits = terms.limits
    waves = tuple(
        WaveSpec(
            name=f"wave {number}",
            share_until=share,
            success_share_min=limits.success_share_min,
            failed_share_max=limits.failed_share_max,
            silent_share_max=limits.silent_share_max,
            sample_min=limits.sample_min,
            soak_s=int(limits.soak.total_seconds()),
        )
        for number, share in enumerate(terms.shares, 1)
    )
    return RolloutSpec(
        hardware_model=terms.hardware_model,
        version=terms.image.version,
        waves=waves,
        silent_after_s=int(terms.silent_after.total_seconds()),
        in_flight_max=terms.in_flight_max,
        attempts_max=terms.attempts_max,
        spread_s=terms.spread_s,
        lease_s=int(terms.lease.total_seconds()),
        window=terms.window,
        salt=SALT,
        evidence=terms.evidence,
        rules=Rules(goes_back=terms.goes_back),
    )


def _leased_in(one: outbox.Sending) -> Iterator[str]:
    """Yield the box that is granted a lease by *one*, whoever has signed it."""
    if one.topic.endswith(f"/{Down.LEASE}"):
        said = json.loads(base64.b64decode(json.loads(one.payload)["payload"]))
        if said["granted"]:
            yield said["device_id"]


def _bytes_of(message: Message) -> bytes:
    assert isinstance(message.payload, bytes), "boxes of a signed street say bytes"  # noqa: S101
    return message.payload


def _health_in(found: list[inbox.Incoming], counted: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the ids of the health messages of a batch that were counted."""
    for one in found:
        topic = topics.parse(one.topic)
        if isinstance(topic, DeviceTopic) and topic.kind is Up.HEALTH:
            said = messages.decode(messages.Health, one.payload)
            if said.header.id in counted.get(topic.device_id, ()):
                yield said.header.id
