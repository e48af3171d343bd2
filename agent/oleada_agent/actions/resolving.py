"""``dns_lookup``: questions by UDP, written and read here. Source: RFC 1035, 4.1; RFC 3596."""

import secrets
import socket
import struct
from typing import Final, NamedTuple

from oleada_wire.words import Refusal, ResultStatus

from oleada_agent import clock
from oleada_agent.actions.order import ActionError, Order, Teller, refused
from oleada_agent.actions.reaching import is_address

RESOLV_CONF: Final = "etc/resolv.conf"
ANSWER_BYTES_MAX: Final = 4_096
A: Final = 1
AAAA: Final = 28
CNAME: Final = 5
JUMPS_MAX: Final = 32
NO_SUCH_NAME: Final = 3
STATUS: Final = {
    "good": "Success",
    "none": "Error_HostNameNotResolved",
    "away": "Error_DNSServerNotAvailable",
    "late": "Error_Timeout",
}


class Answer(NamedTuple):
    """What a server has said; *names* the last is the one that has the addresses."""

    status: str
    addresses: tuple[str, ...] = ()
    name: str = ""
    is_authoritative: bool = False


def dns_lookup(order: Order, teller: Teller) -> None:
    """Ask for the addresses of a name, some times.

    Raises:
        ActionError: no server is known, none answers, or none knows the name.
    """
    asked = order.arguments
    server = asked["server"] or _server_of(order)
    good = 0
    for number in range(1, asked["repetitions"] + 1):
        began_us = clock.steady_us()
        found = _ask(server, asked["port"], asked["host"], asked["timeout_ms"])
        good += found.status == "good"
        result = f"Result.{number}."
        values: dict[str, bool | int | str] = {
            f"{result}Status": STATUS[found.status],
            f"{result}DNSServerIP": server,
            f"{result}ResponseTime": (clock.steady_us() - began_us) // 1000,
        }
        if found.status == "good":
            values |= {
                f"{result}AnswerType": (
                    "Authoritative" if found.is_authoritative else "NonAuthoritative"
                ),
                f"{result}HostNameReturned": found.name,
                f"{result}IPAddresses": ",".join(found.addresses),
            }
        teller.say(values, done_parts=number * 10_000 // asked["repetitions"])
    teller.say({"SuccessCount": good})
    if not good:
        is_deaf = found.status in ("away", "late")
        status = ResultStatus.NO_RESPONSE if is_deaf else ResultStatus.CANNOT_RESOLVE
        raise ActionError(status, f"{server} says of {asked['host']}: {STATUS[found.status]}.")


def _server_of(order: Order) -> str:
    try:
        lines = (order.machine / RESOLV_CONF).read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    words = [line.split() for line in lines]
    found = [one[1] for one in words if len(one) > 1 and one[0] == "nameserver"]
    good = next((one for one in found if is_address(one)), None)
    if good is None:
        raise refused(Refusal.NOT_ON_THIS_MODEL, "This box names no DNS server.")
    return good


def _ask(server: str, port: int, host: str, timeout_ms: int) -> Answer:
    number = secrets.randbelow(1 << 16)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    until_ms = clock.steady_ms() + timeout_ms
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((server, port))
            sock.send(question(number, host))
            while (left_ms := until_ms - clock.steady_ms()) > 0:
                sock.settimeout(left_ms / 1000)
                data = sock.recv(ANSWER_BYTES_MAX)
                if data[:2] == number.to_bytes(2, "big"):
                    return read(data)
        except TimeoutError:
            return Answer("late")
        except OSError:
            return Answer("away")
    return Answer("late")


def question(number: int, host: str) -> bytes:
    """Return the question for the IPv4 addresses of *host*.

    Raises:
        ActionError: *host* can not be a name.
    """
    labels = [label.encode("ascii", "replace") for label in host.rstrip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        raise refused(Refusal.BAD_ARGUMENT, f"{host} can not be a name of DNS.")
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", A, 1)


def read(data: bytes) -> Answer:
    """Return what the answer in *data* says; one that can not be read names nothing."""
    try:
        return _read(data)
    except (struct.error, IndexError, ValueError):
        return Answer("none")


def _read(data: bytes) -> Answer:
    _, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", data)
    if flags & 15 == NO_SUCH_NAME or not answers:
        return Answer("none")
    if flags & 15:
        return Answer("away")
    at = 12
    for _ in range(questions):
        _, at = _name(data, at)
        at += 4
    addresses, last = [], ""
    for _ in range(min(answers, 64)):
        last, at = _name(data, at)
        kind, _, _, size_bytes = struct.unpack_from("!HHIH", data, at)
        body = data[at + 10 : at + 10 + size_bytes]
        if kind == A and size_bytes == 4:
            addresses.append(socket.inet_ntop(socket.AF_INET, body))
        elif kind == AAAA and size_bytes == 16:
            addresses.append(socket.inet_ntop(socket.AF_INET6, body))
        at += 10 + size_bytes
    status = "good" if addresses else "none"
    return Answer(status, tuple(addresses), last, bool(flags & 0x0400))


def _name(data: bytes, at: int) -> tuple[str, int]:
    """Return the name at *at*, and what comes behind it."""
    labels: list[str] = []
    behind = 0
    for _ in range(JUMPS_MAX):
        size_bytes = data[at]
        if size_bytes & 0xC0 == 0xC0:
            behind = behind or at + 2
            at = struct.unpack_from("!H", data, at)[0] & 0x3FFF
        elif size_bytes == 0:
            return ".".join(labels)[:253], behind or at + 1
        else:
            labels.append(data[at + 1 : at + 1 + size_bytes].decode("ascii", "replace"))
            at += 1 + size_bytes
    raise ValueError("a name that never ends")
