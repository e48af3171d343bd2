from dataclasses import dataclass, field, replace

import pytest
from oleada_lab.sim.broker import (
    RECEIVE_MAX,
    Delivery,
    Message,
    RefusedError,
    SimBroker,
)
from oleada_lab.sim.mqtt import matches
from oleada_lab.sim.world import World


@dataclass
class Client:
    """The broker's end of a connection that keeps what it is given."""

    heard: list[Delivery] = field(default_factory=list)
    ended: str = ""

    def deliver(self, delivery: Delivery) -> None:
        """Keep *delivery*."""
        self.heard.append(delivery)

    def closed(self, why: str) -> None:
        """Keep why."""
        self.ended = why

    @property
    def payloads(self) -> list[object]:
        """What was heard, in order."""
        return [one.message.payload for one in self.heard]


def a_message(payload: object = b"x", topic: str = "a/b", **changed: object) -> Message:
    """Return a message of QoS 1."""
    return replace(Message(topic, payload, 100), **changed)  # type: ignore[arg-type]


def joined(broker: SimBroker, name: str = "box", *filters: str, expiry_s: int = 600) -> Client:
    """Return a client that is connected and hears *filters*."""
    client = Client()
    broker.connect(client, name, expiry_s=expiry_s)
    broker.subscribe(name, filters or ("a/#",))
    return client


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+/c", "a/b/d", False),
        ("a/#", "a/b/c", True),
        ("#", "a", True),
        ("a/b/c", "a/b", False),
    ],
)
def test_a_filter_matches_as_mqtt_says(pattern: str, topic: str, expected: bool) -> None:
    assert matches(pattern, topic) is expected


def test_a_message_reaches_whoever_subscribed_and_nobody_else() -> None:
    broker = SimBroker(World(1))
    near, far = joined(broker, "near", "a/+"), joined(broker, "far", "c/#")

    broker.publish("someone", a_message())

    assert (near.payloads, far.payloads) == ([b"x"], [])


def test_what_is_retained_is_given_on_subscribing_until_it_is_cleared() -> None:
    broker = SimBroker(World(1))
    broker.publish("server", a_message(b"keep", is_retained=True))

    assert joined(broker, "early").payloads == [b"keep"]
    broker.publish("server", a_message(b"", is_retained=True))
    assert joined(broker, "late").payloads == []


def test_somebody_new_hears_what_others_hear_already() -> None:
    broker = SimBroker(World(1))
    first = joined(broker, "first")
    broker.publish("server", a_message(1))
    second = joined(broker, "second")
    broker.publish("server", a_message(2))
    broker.disconnect("first", first)
    broker.connect(Client(), "first", clean_start=True)
    broker.publish("server", a_message(3))

    assert first.payloads == [1, 2]
    assert second.payloads == [2, 3]


def test_a_session_keeps_what_came_meanwhile_and_gives_it_in_order() -> None:
    broker = SimBroker(World(1))
    before = joined(broker)
    broker.lose("box", before)
    for number in range(3):
        broker.publish("server", a_message(number))

    after = Client()
    was_there = broker.connect(after, "box", expiry_s=600)
    broker.resume("box")

    assert was_there
    assert after.payloads == [0, 1, 2]


def test_what_was_not_acknowledged_comes_again_as_a_duplicate() -> None:
    broker = SimBroker(World(1))
    before = joined(broker)
    broker.publish("server", a_message(1))
    broker.publish("server", a_message(2))
    broker.acknowledge("box", before.heard[0].mid)
    broker.lose("box", before)

    after = Client()
    broker.connect(after, "box", expiry_s=600)
    broker.resume("box")

    assert [(one.message.payload, one.is_duplicate) for one in after.heard] == [(2, True)]


def test_a_session_expires_with_all_that_waits() -> None:
    world = World(1)
    broker = SimBroker(world)
    broker.lose("box", joined(broker, expiry_s=60))
    broker.publish("server", a_message())
    world.now_ms = 60_000

    assert broker.connect(Client(), "box") is False


def test_a_clean_start_forgets_the_session() -> None:
    broker = SimBroker(World(1))
    broker.lose("box", joined(broker))

    assert broker.connect(Client(), "box", clean_start=True) is False


def test_no_more_than_the_window_is_under_way() -> None:
    broker = SimBroker(World(1))
    client = joined(broker)
    for number in range(RECEIVE_MAX + 5):
        broker.publish("server", a_message(number))

    assert len(client.heard) == RECEIVE_MAX
    broker.acknowledge("box", client.heard[0].mid)
    assert client.payloads[-1] == RECEIVE_MAX


def test_a_full_queue_drops_and_counts() -> None:
    broker = SimBroker(World(1), queued_max=2)
    broker.lose("box", joined(broker))
    for number in range(5):
        broker.publish("server", a_message(number))

    assert broker.counts.dropped == 3


def test_qos_0_is_for_who_is_there() -> None:
    broker = SimBroker(World(1))
    client = joined(broker)
    broker.publish("server", a_message(1, qos=0))
    broker.lose("box", client)
    broker.publish("server", a_message(2, qos=0))
    after = Client()
    broker.connect(after, "box", expiry_s=600)
    broker.resume("box")

    assert (client.payloads, after.payloads) == ([1], [])
    assert client.heard[0].mid == 0


def test_what_has_grown_stale_is_not_given() -> None:
    world = World(1)
    broker = SimBroker(world)
    broker.lose("box", joined(broker))
    broker.publish("server", a_message(1, expires_ms=1_000))
    broker.publish("server", a_message(2))
    world.now_ms = 1_000
    after = Client()
    broker.connect(after, "box", expiry_s=600)
    broker.resume("box")

    assert after.payloads == [2]


def test_the_newer_connection_of_a_name_wins() -> None:
    broker = SimBroker(World(1))
    first = joined(broker)
    second = joined(broker)
    broker.lose("box", first)  # the line of the first is noticed to be dead only now

    assert first.ended == "taken over"
    assert broker.is_connected("box")
    assert (broker.counts.taken_over, second.ended) == (1, "")


def test_the_last_will_is_spoken_when_a_connection_is_lost_and_not_after_a_goodbye() -> None:
    broker = SimBroker(World(1))
    listener = joined(broker, "listener", "will/#")
    for name, part in (("lost", broker.lose), ("polite", broker.disconnect)):
        client = Client()
        broker.connect(client, name, will=a_message(name, f"will/{name}"))
        part(name, client)

    assert listener.payloads == ["lost"]


def test_what_a_client_may_not_write_is_not_given_to_anybody() -> None:
    broker = SimBroker(World(1), may_write=lambda client, topic: topic.startswith(f"{client}/"))
    listener = joined(broker, "listener", "#")
    broker.publish("box", a_message(1, "box/up"))
    broker.publish("box", a_message(2, "other/up"))

    assert listener.payloads == [1]
    assert broker.counts.forbidden == 1


def test_more_connections_than_a_second_takes_are_refused_and_counted() -> None:
    world = World(1)
    broker = SimBroker(world, connects_per_s_max=2)
    for name in ("a", "b"):
        broker.connect(Client(), name)
    with pytest.raises(RefusedError):
        broker.connect(Client(), "c")
    world.now_ms = 1_000
    broker.connect(Client(), "c")

    assert (broker.counts.refused, broker.counts.peak_per_second) == (1, 3)


@pytest.mark.parametrize("keeps_store", [True, False])
def test_a_restart_ends_every_connection_and_keeps_what_its_store_keeps(keeps_store: bool) -> None:
    broker = SimBroker(World(1))
    client = joined(broker)
    broker.publish("server", a_message(b"kept", is_retained=True))
    broker.restart(keeps_store=keeps_store)

    assert client.ended == "the broker went down"
    with pytest.raises(RefusedError):
        broker.connect(Client(), "box")
    broker.come_up()
    assert broker.connect(Client(), "box", expiry_s=600) is keeps_store
    assert (broker.retained("a/b") is not None) is keeps_store


def test_a_shared_subscription_gives_each_message_to_one_member() -> None:
    broker = SimBroker(World(1))
    members = [joined(broker, name, "$share/workers/a/+") for name in ("w1", "w2")]
    for number in range(4):
        broker.publish("box", a_message(number))

    assert [len(member.heard) for member in members] == [2, 2]
    assert sorted(str(each) for member in members for each in member.payloads) == list("0123")
