"""The broker's doors, tried by boxes that hold a certificate and mean no good."""

import socket
import ssl
import warnings
from collections.abc import Iterator

import pytest
from oleada_server.broker import PACKET_BYTES_MAX, up_filter
from oleada_server.config import Config
from oleada_wire import topics
from oleada_wire.topics import Down, Model, Up

from tests.support.broker import (
    AN_AGE_AGO,
    Client,
    RunningBroker,
    TlsRefusedError,
    box_client,
    client,
    issue_box,
    running_broker,
    server_client,
    wait_until,
)

pytestmark = pytest.mark.real

BOX, OTHER = "VX417Q3K0928", "VX41ZZZZ0001"
OWN_UP = topics.up(BOX, Up.REPORT)


@pytest.fixture
def broker(config: Config) -> Iterator[RunningBroker]:
    with running_broker(config) as found:
        yield found


@pytest.fixture
def server(broker: RunningBroker) -> Iterator[Client]:
    """The server's own client, which hears every box."""
    with server_client(broker.config) as found:
        found.subscribe(f"{topics.PREFIX}/d/+/up/+")
        yield found


@pytest.fixture
def box(broker: RunningBroker) -> Iterator[Client]:
    with box_client(broker.config, BOX) as found:
        yield found


def _until_heard(box: Client, server: Client, topic: str) -> None:
    """Let a marker pass, so that what was to come before it has come."""
    assert server.publish(topic, b"marker")
    wait_until(lambda: b"marker" in box.payloads(topic), "the marker came")


def test_a_box_writes_its_own_branch_and_the_server_hears_it(box: Client, server: Client) -> None:
    assert box.publish(OWN_UP, b"mine")

    wait_until(lambda: server.payloads(OWN_UP) == [b"mine"], "the report came")


@pytest.mark.parametrize(
    "topic",
    [
        topics.up(OTHER, Up.REPORT),
        topics.down(OTHER, Down.CMD),
        topics.down(BOX, Down.CMD),
        topics.model("VX-410", Model.META),
        f"{topics.PREFIX}/s/canary",
        "anything/else",
    ],
    ids=["another's up", "another's down", "its own down", "its model's", "the server's", "else"],
)
def test_a_box_writes_nowhere_else(box: Client, server: Client, topic: str) -> None:
    server.subscribe("#")

    assert not box.publish(topic, b"spoofed")

    assert box.publish(OWN_UP, b"marker")
    wait_until(lambda: server.payloads(OWN_UP), "the marker came")
    assert server.payloads(topic) == []


def test_a_box_hears_its_own_branch_and_models_and_not_a_word_for_others(
    box: Client, server: Client
) -> None:
    box.subscribe("#", f"{topics.PREFIX}/d/+/down/#", topics.down_filter(OTHER), "$share/a/#")
    own, model = topics.down(BOX, Down.CMD), topics.model("VX-410", Model.META)
    for topic in (own, topics.down(OTHER, Down.ASSIGN), topics.up(OTHER, Up.LOG), model):
        assert server.publish(topic, b"secret")

    _until_heard(box, server, own)

    assert {topic for topic, _ in box.heard} == {own, model}


def test_what_is_retained_for_another_box_is_not_given_out(box: Client, server: Client) -> None:
    foreign, own = topics.down(OTHER, Down.ASSIGN), topics.down(BOX, Down.ASSIGN)
    assert server.publish(foreign, b"for the other", retain=True)
    assert server.publish(own, b"mine", retain=True)

    box.subscribe(foreign, topics.down_filter(BOX), f"{topics.PREFIX}/d/#")
    _until_heard(box, server, own)

    assert b"mine" in box.payloads(own)
    assert box.payloads(foreign) == []


def test_a_box_can_not_throw_another_out_by_its_client_id(
    broker: RunningBroker, server: Client
) -> None:
    with (
        box_client(broker.config, BOX) as victim,
        box_client(broker.config, OTHER, client_id=BOX) as thief,
    ):
        assert thief.publish(topics.up(OTHER, Up.REPORT))
        assert victim.publish(OWN_UP)

        assert not victim.lost.is_set()
        assert not thief.publish(OWN_UP)


def test_a_box_that_knows_the_shared_group_by_its_usual_name_steals_nothing(
    broker: RunningBroker, box: Client
) -> None:
    with server_client(broker.config, "worker") as worker:
        worker.subscribe(up_filter(broker.config))
        box.subscribe(
            f"$share/oleada/{topics.PREFIX}/d/+/up/+", f"$share/workers/{topics.PREFIX}/d/+/up/+"
        )

        for number in range(20):
            assert box.publish(OWN_UP, b"%d" % number)

        wait_until(lambda: len(worker.payloads(OWN_UP)) == 20, "the worker heard all of them")


def test_without_a_certificate_nobody_gets_in(broker: RunningBroker) -> None:
    config = broker.config
    for port in (config.broker_port, config.broker_services_port):
        with pytest.raises(TlsRefusedError), client(config, port, None, "nobody"):
            pass


def test_a_box_does_not_get_in_by_the_servers_door(broker: RunningBroker) -> None:
    files = issue_box(broker.config, BOX)

    with (
        pytest.raises(TlsRefusedError),
        client(broker.config, broker.config.broker_services_port, files, "oleada-worker-1"),
    ):
        pass


def test_a_certificate_that_has_expired_does_not_open(broker: RunningBroker) -> None:
    files = issue_box(broker.config, BOX, AN_AGE_AGO)

    with (
        pytest.raises(TlsRefusedError),
        client(broker.config, broker.config.broker_port, files, BOX),
    ):
        pass


def test_there_is_no_plain_door(broker: RunningBroker) -> None:
    hello = bytes.fromhex("100d00044d51545405020004000000") + b"\x00"
    with socket.create_connection(("127.0.0.1", broker.config.broker_port), timeout=5) as plain:
        plain.sendall(hello)
        try:
            answer = plain.recv(64)
        except ConnectionError:
            answer = b""

    assert not answer.startswith(b"\x20"), "the broker answered CONNACK without TLS"


def test_a_message_larger_than_the_wire_allows_ends_the_connection(
    box: Client, server: Client
) -> None:
    box.mqtt.publish(OWN_UP, b"x" * (PACKET_BYTES_MAX + 1), qos=1)

    wait_until(box.lost.is_set, "the broker hung up")
    assert server.payloads(OWN_UP) == []


@pytest.mark.parametrize(
    ("version", "is_let_in"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)],
    ids=["TLS 1.1", "TLS 1.2"],
)
def test_old_tls_does_not_get_in(
    broker: RunningBroker, version: ssl.TLSVersion, is_let_in: bool
) -> None:
    context = ssl.create_default_context(cafile=str(broker.config.pki_dir / "service-ca.pem"))
    context.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL itself would not even try
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.load_cert_chain(*issue_box(broker.config, BOX))

    with socket.create_connection(("127.0.0.1", broker.config.broker_port), timeout=60) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as line:
                agreed = line.version()
        except (ssl.SSLError, ConnectionError):
            agreed = None

    assert (agreed is not None) == is_let_in


def test_a_flood_from_one_box_delays_no_other(
    broker: RunningBroker, server: Client, box: Client
) -> None:
    """What is too much is not stored by the server (tests/server/messaging/test_quota.py)."""
    with box_client(broker.config, OTHER) as quiet:
        for _ in range(2_000):
            box.mqtt.publish(OWN_UP, b"x" * 200, qos=0)

        assert quiet.publish(topics.up(OTHER, Up.REPORT), b"mine")

        wait_until(lambda: server.payloads(topics.up(OTHER, Up.REPORT)), "the other one is heard")
        assert not quiet.lost.is_set()
