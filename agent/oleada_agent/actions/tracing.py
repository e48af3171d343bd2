"""``traceroute``: UDP packets that expire on the way, and who says so. Needs no rights.

The kernel keeps the ICMP errors of a socket with ``IP_RECVERR`` (ip(7)), so nobody has
to hear everybody's ICMP. Source: ip(7), ``struct sock_extended_err``; TR-181 TraceRoute().
"""

import select
import socket
import struct
from typing import Final, NamedTuple

from oleada_wire.words import ResultStatus

from oleada_agent import clock
from oleada_agent.actions.order import ActionError, Order, Teller
from oleada_agent.actions.reaching import NO_ROUTE, address_of, no_route

FIRST_PORT: Final = 33_434
IP_RECVERR: Final = 11
IP_TTL: Final = 2
SOCK_EXTENDED_ERR: Final = struct.Struct("=IBBBBII")
ORIGIN_ICMP: Final = 2
UNREACHABLE: Final = 3


class Hop(NamedTuple):
    """Who has answered: its address, ICMP type and code, and when."""

    address: str
    kind: int
    code: int
    took_us: int


def traceroute(order: Order, teller: Teller) -> None:
    """Tell who is on the way to a host, hop by hop.

    Raises:
        ActionError: it has no address, there is no way to it, or it does not answer.
    """
    asked = order.arguments
    _, address = address_of(asked["host"], socket.AF_INET)
    teller.say({"IPAddressUsed": address})
    for number in range(1, asked["hops_max"] + 1):
        tries = [_try(address, number, at, asked["timeout_ms"]) for at in range(asked["tries"])]
        heard = [hop for hop in tries if hop is not None]
        hop = f"RouteHops.{number}."
        times = ",".join(str(one.took_us // 1000) if one else "" for one in tries)
        values: dict[str, bool | int | str] = {
            f"{hop}HostAddress": heard[0].address if heard else "",
            f"{hop}RTTimes": times,
        }
        if heard and heard[0].kind == UNREACHABLE:
            values[f"{hop}ErrorCode"] = heard[0].code
        teller.say(values, done_parts=number * 10_000 // asked["hops_max"])
        if heard and (heard[0].kind == UNREACHABLE or heard[0].address == address):
            teller.say({"ResponseTime": heard[0].took_us // 1000})
            return
    sentence = f"{address} did not answer within {asked['hops_max']} hops."
    raise ActionError(ResultStatus.NO_RESPONSE, sentence)


def _try(address: str, hops: int, number: int, timeout_ms: int) -> Hop | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_TTL, hops)
        began_us = clock.steady_us()
        try:
            sock.connect((address, FIRST_PORT + (hops * 3 + number) % 200))
            sock.send(bytes(32))
        except OSError as error:
            if error.errno in NO_ROUTE:
                raise no_route(error, address) from error
            return _heard(sock, began_us)
        poll = select.poll()
        poll.register(sock, select.POLLERR)
        return _heard(sock, began_us) if poll.poll(timeout_ms) else None


def _heard(sock: socket.socket, began_us: int) -> Hop | None:
    try:
        _, parts, _, _ = sock.recvmsg(512, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except OSError:
        return None
    took_us = clock.steady_us() - began_us
    for level, kind, data in parts:
        if level != socket.IPPROTO_IP or kind != IP_RECVERR:
            continue
        _, origin, icmp, code, *_ = SOCK_EXTENDED_ERR.unpack_from(data)
        who = data[SOCK_EXTENDED_ERR.size : SOCK_EXTENDED_ERR.size + 8]
        if origin == ORIGIN_ICMP and len(who) == 8:
            return Hop(socket.inet_ntoa(who[4:8]), icmp, code, took_us)
    return None
