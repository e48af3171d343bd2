from dataclasses import dataclass, field

from oleada_agent.reconnect import Reconnect
from oleada_lab.sim.broker import Delivery, Message, SimBroker
from oleada_lab.sim.link import Profile, SimLink, Way
from oleada_lab.sim.transport import Caller, SimTransport
from oleada_lab.sim.world import Dice, World

LINE = Profile(rtt_ms=40, jitter_ms=0)
UP, DOWN = "up/x", "down/x"


@dataclass
class House:
    """A box with its line, a broker, and a server that keeps what it hears."""

    profile: Profile = LINE
    news: list[str] = field(default_factory=list)
    heard_by_box: list[object] = field(default_factory=list)
    heard_by_server: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = World(1)
        self.broker = SimBroker(self.world)
        self.broker.connect(self, "server")
        self.broker.subscribe("server", ["up/#", "will/#"])
        self.link = SimLink(Dice("line"), self.profile)
        self.transport = SimTransport(
            self.world,
            self.broker,
            self.link,
            caller=Caller("box", ("down/#",), will=Message("will/box", "lost", 10)),
            owner=self,
            reconnect=lambda: Reconnect(lambda limit: limit - 1),
        )
        self.transport.start(0)
        self.run_s(1)

    def run_s(self, seconds: float) -> None:
        """Let time pass."""
        until_ms = self.world.now_ms + int(seconds * 1000)
        self.world.run(until_ms, lambda: False)
        self.world.now_ms = until_ms

    def deliver(self, delivery: Delivery) -> None:
        """Hear as the server."""
        self.heard_by_server.append(delivery.message.payload)
        self.broker.acknowledge("server", delivery.mid)

    def closed(self, why: str) -> None:
        """The server's connection ended."""

    def connected(self) -> None:
        """Hear as the box."""
        self.news.append("connected")

    def disconnected(self, why: str) -> None:
        """Hear as the box."""
        self.news.append(why)

    def heard(self, topic: str, payload: object) -> None:
        """Hear as the box."""
        self.heard_by_box.append(payload)

    def say(self, payload: object, size_bytes: int = 100, qos: int = 1) -> bool:
        """Let the box publish."""
        return self.transport.send(Message(UP, payload, size_bytes, qos))

    def tell(self, payload: object) -> None:
        """Let the server publish to the box."""
        self.broker.publish("server", Message(DOWN, payload, 100))


def test_what_is_said_arrives_both_ways_in_order() -> None:
    house = House()
    for number in range(3):
        house.say(number)
        house.tell(number)
    house.run_s(1)

    assert house.heard_by_server == house.heard_by_box == [0, 1, 2]
    assert house.news == ["connected"]


def test_without_a_connection_nothing_is_sent() -> None:
    house = House()
    house.link.is_cut = True
    house.transport.line_changed()

    assert house.say(1) is False


def test_a_cut_line_is_noticed_at_once_and_the_connection_comes_back_after_it() -> None:
    house = House()
    house.link.is_cut = True
    house.transport.line_changed()
    house.run_s(30)
    assert house.news == ["connected", "no carrier"]
    assert house.heard_by_server == ["lost"]

    house.link.is_cut = False
    house.run_s(130)

    assert house.news[-1] == "connected"


def test_a_half_open_line_is_believed_in_until_the_keepalive_is_over() -> None:
    house = House()
    house.link.silent = (Way.UP, Way.DOWN)
    house.transport.line_changed()
    house.run_s(85)
    assert house.broker.is_connected("box")

    house.run_s(10)
    assert not house.broker.is_connected("box")
    assert house.news == ["connected"]
    house.run_s(30)
    assert house.news == ["connected", "keepalive"]


def test_a_silence_shorter_than_the_keepalive_costs_time_alone() -> None:
    house = House()
    house.link.silent = (Way.UP, Way.DOWN)
    house.transport.line_changed()
    house.say("late")
    house.tell("late too")
    house.run_s(60)
    assert house.heard_by_server == house.heard_by_box == []

    house.link.silent = ()
    house.transport.line_changed()
    house.run_s(200)

    assert house.heard_by_server == ["late"]
    assert house.heard_by_box == ["late too"]
    assert house.news == ["connected"]


def test_what_was_under_way_when_a_line_was_cut_is_sent_again() -> None:
    house = House()
    house.say("again")
    house.tell("again too")
    house.link.is_cut = True
    house.transport.line_changed()
    house.run_s(1)
    assert house.heard_by_server == ["lost"]

    house.link.is_cut = False
    house.run_s(130)

    assert house.heard_by_server == ["lost", "again"]
    assert house.heard_by_box == ["again too"]


def test_a_power_cut_forgets_what_was_under_way_and_the_broker_speaks_the_will() -> None:
    house = House()
    house.say("never")
    house.transport.lose_power()
    house.run_s(89)
    assert house.heard_by_server == []
    house.run_s(2)

    assert house.heard_by_server == ["lost"]


def test_a_goodbye_is_no_loss() -> None:
    house = House()
    house.transport.leave()
    house.run_s(300)

    assert house.heard_by_server == []


def test_a_box_whose_large_messages_vanish_finds_out_and_tries_again() -> None:
    house = House(Profile(rtt_ms=40, jitter_ms=0, blackhole_over=1_000))
    house.say("large", size_bytes=5_000)
    house.run_s(120)

    assert house.news[:2] == ["connected", "keepalive"]
    assert house.heard_by_server == ["lost"]


def test_a_router_that_forgets_sooner_than_the_keepalive_costs_the_connection() -> None:
    house = House(Profile(rtt_ms=40, jitter_ms=0, nat_timeout_ms=30_000))
    house.run_s(50)
    house.say("into the void")
    house.run_s(115)

    assert "keepalive" in house.news


def test_after_a_restart_of_the_broker_the_box_comes_back() -> None:
    house = House()
    house.broker.restart(keeps_store=True)
    house.run_s(5)
    house.broker.come_up()
    house.run_s(200)

    assert house.news == ["connected", "the broker went down", "connected"]


def test_the_line_is_silent_when_a_box_tries_to_connect() -> None:
    house = House()
    house.link.silent = (Way.DOWN,)
    house.transport.start(0)
    house.run_s(20)
    assert house.news == ["connected"]
    house.link.silent = ()
    house.run_s(130)

    assert house.news[-1] == "connected"
    assert house.transport.is_connected
