"""``ip_ping``: ICMP echo as TR-181's IPPing() has it. Source: RFC 792, RFC 4443."""

import os
import select
import socket
import struct
from typing import Final

from oleada_wire.words import ResultStatus

from oleada_agent import clock
from oleada_agent.actions.order import ActionError, Order, Teller
from oleada_agent.actions.reaching import address_of, no_route

ECHO_V4: Final = 8
ECHO_V6: Final = 128
ANSWERS: Final = (0, 129)


def ip_ping(order: Order, teller: Teller) -> None:
    """Ping a host.

    Raises:
        ActionError: it has no address, there is no way to it, or nothing came back.
    """
    asked = order.arguments
    family, address = address_of(asked["host"])
    teller.say({"IPAddressUsed": address})
    times_us: list[int] = []
    with _socket(family) as sock:
        for number in range(1, asked["repetitions"] + 1):
            body = os.urandom(8) + bytes(asked["block_bytes"] - 8)
            kind = ECHO_V6 if family == socket.AF_INET6 else ECHO_V4
            packet = _packet(kind, os.getpid() & 0xFFFF, number, body)
            took_us = _once(sock, address, packet, asked["timeout_ms"])
            if took_us is not None:
                times_us.append(took_us)
            teller.say({}, done_parts=number * 10_000 // asked["repetitions"])
            if number < asked["repetitions"]:
                clock.pause_ms(asked["interval_ms"])
    teller.say({
        "SuccessCount": len(times_us), "FailureCount": asked["repetitions"] - len(times_us),
    })  # fmt: skip
    if not times_us:
        raise ActionError(ResultStatus.NO_RESPONSE, f"Nothing came back from {address}.")
    for name, found in (
        ("Average", sum(times_us) // len(times_us)),
        ("Minimum", min(times_us)),
        ("Maximum", max(times_us)),
    ):
        teller.say({f"{name}ResponseTime": found // 1000, f"{name}ResponseTimeDetailed": found})


def _socket(family: int) -> socket.socket:
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    try:
        return socket.socket(family, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        pass
    try:
        return socket.socket(family, socket.SOCK_RAW, protocol)
    except PermissionError as error:
        raise ActionError(ResultStatus.INTERNAL, "The agent may not send ICMP here.") from error


def _once(sock: socket.socket, address: str, packet: bytes, timeout_ms: int) -> int | None:
    """Return after how many microseconds the answer came; None if none did."""
    began_us = clock.steady_us()
    try:
        sock.sendto(packet, (address, 0))
    except OSError as error:
        raise no_route(error, address) from error
    until_us = began_us + timeout_ms * 1000
    while (left_us := until_us - clock.steady_us()) > 0:
        if not select.select([sock], [], [], left_us / 1e6)[0]:
            return None
        data = sock.recv(2048)
        if _is_answer(data, packet[8:]):
            return clock.steady_us() - began_us
    return None


def _is_answer(data: bytes, body: bytes) -> bool:
    """Return whether *data* answers; a raw IPv4 socket gives the IP header too."""
    if data[:1] and data[0] >> 4 == 4 and data[0] & 15 >= 5:
        data = data[(data[0] & 15) * 4 :]
    return len(data) >= 8 and data[0] in ANSWERS and data[8:] == body


def _packet(kind: int, ident: int, number: int, body: bytes) -> bytes:
    plain = struct.pack("!BBHHH", kind, 0, 0, ident, number) + body
    return plain[:2] + struct.pack("!H", _checksum(plain)) + plain[4:]


def _checksum(data: bytes) -> int:
    """Return the checksum of the Internet (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~int(total + (total >> 16)) & 0xFFFF
