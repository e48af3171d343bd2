"""``udp_echo``: packets to an echo server, for loss and jitter. RFC 862; RFC 3550, 6.4.1."""

import itertools
import os
import socket
import struct
from typing import Final

from oleada_wire.words import ResultStatus

from oleada_agent import clock
from oleada_agent.actions.order import ActionError, Order, Teller
from oleada_agent.actions.reaching import address_of, must_be_allowed, no_route

MARK_BYTES: Final = 8
PACKET: Final = struct.Struct("!8sI52x")


def udp_echo(order: Order, teller: Teller) -> None:
    """Send packets one by one, and tell how they came back.

    Raises:
        ActionError: the settings do not name the host, or nothing came back.
    """
    asked = order.arguments
    must_be_allowed(asked["host"], order.settings, "echo tests")
    family, address = address_of(asked["host"])
    teller.say({"IPAddressUsed": address})
    mark = os.urandom(MARK_BYTES)
    times_us: list[int] = []
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((address, asked["port"]))
        for number in range(asked["repetitions"]):
            took_us = _once(sock, address, PACKET.pack(mark, number), asked["timeout_ms"])
            if took_us is not None:
                times_us.append(took_us)
            teller.say({}, done_parts=(number + 1) * 10_000 // asked["repetitions"])
            clock.pause_ms(asked["interval_ms"])
    teller.say({
        "SuccessCount": len(times_us), "FailureCount": asked["repetitions"] - len(times_us),
    })  # fmt: skip
    if not times_us:
        raise ActionError(ResultStatus.NO_RESPONSE, f"Nothing came back from {address}.")
    teller.say({
        "AverageResponseTime": sum(times_us) // len(times_us),
        "MinimumResponseTime": min(times_us),
        "MaximumResponseTime": max(times_us),
        "X_OLEADA_Jitter": jitter_us(times_us),
    })  # fmt: skip


def jitter_us(times_us: list[int]) -> int:
    """Return the jitter of *times_us* as RTP counts it: smoothed over 16 packets."""
    found = 0.0
    for before, after in itertools.pairwise(times_us):
        found += (abs(after - before) - found) / 16
    return round(found)


def _once(sock: socket.socket, address: str, packet: bytes, timeout_ms: int) -> int | None:
    began_us = clock.steady_us()
    until_us = began_us + timeout_ms * 1000
    try:
        sock.send(packet)
        while (left_us := until_us - clock.steady_us()) > 0:
            sock.settimeout(left_us / 1e6)
            if sock.recv(2048) == packet:
                return clock.steady_us() - began_us
    except (TimeoutError, ConnectionRefusedError):
        return None
    except OSError as error:
        raise no_route(error, address) from error
    return None
