"""The parts of a storm that decide: packets, stories, sizes."""

import errno
import random
import socket
import ssl
from pathlib import Path

import pytest
from oleada_lab.bench import raw_mqtt
from oleada_lab.bench.identities import Identity
from oleada_lab.cli_storm import STORMS, sizes
from oleada_lab.storm import crowd, speech
from oleada_wire.words import Phase


def test_a_connect_to_a_kept_session_says_for_how_long() -> None:
    packet = raw_mqtt.connect_packet("box", 300, session_s=600)

    assert packet.hex(" ") == (
        "10 15 00 04 4d 51 54 54 05 00 01 2c 05 11 00 00 02 58 00 03 62 6f 78"
    )


@pytest.mark.parametrize(
    ("first", "body", "found"),
    [
        (0x30, b"\0\x03a/b\0x", ("a/b", None, b"x")),
        (0x32, b"\0\x03a/b\0\x07\0x", ("a/b", 7, b"x")),
        (0x33, b"\0\x03a/b\0\x07\x05\x02\0\0\0\x3cx", ("a/b", 7, b"x")),
    ],
    ids=["QoS 0", "QoS 1", "retained, with an expiry"],
)
def test_a_publish_is_read_with_and_without_properties(
    first: int, body: bytes, found: tuple[str, int | None, bytes]
) -> None:
    assert raw_mqtt.read_publish(first, body) == found


def test_a_story_rises_step_by_step_and_ends_with_its_only_verdict() -> None:
    for number in range(len(speech.VERDICTS)):
        story = speech.Tongue(random.Random(1), 1).story("AS-1", number)

        assert [one.step for one in story] == list(range(1, speech.STEPS + 1))
        assert [one.phase.is_final for one in story] == [False] * (speech.STEPS - 1) + [True]
        assert (story[-1].reason is None) == (story[-1].phase is Phase.UPDATED)


def test_doubled_and_shuffled_loses_nothing_and_adds_nothing() -> None:
    mixed = speech.doubled_and_shuffled(range(50), random.Random(3))

    assert sorted(mixed) == sorted([*range(50), *range(50)])
    assert mixed != sorted(mixed)


def test_every_storm_comes_if_none_is_named_and_else_those_that_are() -> None:
    nobody = dict.fromkeys(STORMS)

    assert set(sizes(nobody)) == set(STORMS)
    assert sizes({**nobody, "flood": 5}) == {"flood": 5}
    assert sizes({**nobody, "flood": 0}) == {}


@pytest.mark.parametrize(
    ("error", "is_talking", "counted"),
    [
        (OSError(errno.ETIMEDOUT, "nobody"), False, (0, 1)),
        (OSError(errno.ECONNREFUSED, "no"), False, (1, 0)),
        (OSError(errno.ETIMEDOUT, "nothing more"), True, (1, 0)),
        (ConnectionResetError(), True, (1, 0)),
    ],
    ids=["nobody accepted it", "refused", "silence after a word", "hung up"],
)
def test_a_knock_that_nobody_heard_is_no_refusal(
    error: OSError, is_talking: bool, counted: tuple[int, int]
) -> None:
    member = crowd.Member(Identity("VX41ZZZZ0001", "SN-1", "VX-410", Path("c"), Path("k")))
    with (
        socket.socket() as sock,
        ssl.create_default_context().wrap_socket(
            sock, server_hostname="broker", do_handshake_on_connect=False
        ) as tls,
    ):
        member.line.tls = tls if is_talking else None

        crowd.count_failure(member, error)

    assert (member.turned_away, member.unanswered) == counted
