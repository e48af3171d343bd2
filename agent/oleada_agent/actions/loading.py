"""``download_test`` and ``upload_test``: how fast the line is, to hosts of the box's own list."""

import http.client
import socket
import ssl
from typing import Any, Final
from urllib.parse import urlsplit

from oleada_wire.words import Refusal, ResultStatus

from oleada_agent import clock
from oleada_agent.actions.order import ActionError, Order, Teller, refused
from oleada_agent.actions.reaching import must_be_allowed

PIECE_BYTES: Final = 64 * 1024
CONNECT_S: Final = 10.0
STEPS_MAX: Final = 30


def download_test(order: Order, teller: Teller) -> None:
    """Load for a while, keep nothing, and tell how fast it came.

    Raises:
        ActionError: the host may not be used, or does not deliver.
    """
    asked = order.arguments
    connection, path = _open(order, teller)
    try:
        with connection:
            connection.request("GET", path, headers={"Accept-Encoding": "identity"})
            teller.say({"ROMTime": clock.now_ms()})
            with connection.getresponse() as answer:
                if answer.status != 200:
                    why = f"The host answers {answer.status}."
                    raise ActionError(ResultStatus.TRANSFER, why)
                _measure(answer, asked["duration_s"] * 1000, asked["bytes_max"], teller)
    except (OSError, http.client.HTTPException) as error:
        raise ActionError(ResultStatus.TRANSFER, f"{type(error).__name__}: {error}") from error


def upload_test(order: Order, teller: Teller) -> None:
    """Send zeros, and tell how fast they went.

    Raises:
        ActionError: the host may not be used, or does not take them.
    """
    size_bytes = order.arguments["bytes"]
    connection, path = _open(order, teller)
    try:
        with connection:
            connection.putrequest("POST", path)
            connection.putheader("Content-Type", "application/octet-stream")
            connection.putheader("Content-Length", str(size_bytes))
            connection.endheaders()
            began_us = clock.steady_us()
            teller.say({"ROMTime": clock.now_ms(), "BOMTime": clock.now_ms()})
            left = size_bytes
            while left > 0:
                connection.send(bytes(min(left, PIECE_BYTES)))
                left -= min(left, PIECE_BYTES)
                teller.say({}, done_parts=(size_bytes - left) * 10_000 // size_bytes)
            with connection.getresponse() as answer:
                _tell_rate("TestBytesSent", size_bytes, clock.steady_us() - began_us, teller)
                if answer.status >= 300:
                    why = f"The host answers {answer.status}."
                    raise ActionError(ResultStatus.TRANSFER, why)
    except (OSError, http.client.HTTPException) as error:
        raise ActionError(ResultStatus.TRANSFER, f"{type(error).__name__}: {error}") from error


class _Connection(http.client.HTTPConnection):
    """A connection that is closed behind a ``with``."""

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(order: Order, teller: Teller) -> tuple[_Connection, str]:
    """Return a connection to the host of the order, and the path to ask for."""
    try:
        found = urlsplit(order.arguments["url"])
        host, port = found.hostname or "", found.port
    except ValueError as error:
        raise refused(Refusal.BAD_ARGUMENT, f"That is no address: {error}.") from error
    must_be_allowed(host, order.settings, "loading tests")
    is_secret = found.scheme == "https"
    connection = _Connection(host, port or (443 if is_secret else 80), timeout=CONNECT_S)
    began_us = clock.steady_us()
    try:
        connection.connect()
        if is_secret:
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=host)
    except socket.gaierror as error:
        raise ActionError(ResultStatus.CANNOT_RESOLVE, f"{host}: {error}.") from error
    except TimeoutError as error:
        raise ActionError(ResultStatus.NO_RESPONSE, f"{host} does not answer.") from error
    except OSError as error:
        raise ActionError(ResultStatus.INIT_CONNECTION, f"{host}: {error}.") from error
    teller.say({"TCPOpenResponseTime": (clock.steady_us() - began_us) // 1000})
    path = found.path or "/"
    return connection, f"{path}?{found.query}" if found.query else path


def _measure(answer: Any, duration_ms: int, bytes_max: int, teller: Teller) -> None:
    began_us, total, step = clock.steady_us(), 0, 0
    teller.say({"BOMTime": clock.now_ms()})
    while total < bytes_max and (passed_ms := (clock.steady_us() - began_us) // 1000) < duration_ms:
        piece = answer.read(min(PIECE_BYTES, bytes_max - total))
        if not piece:
            break
        total += len(piece)
        if step < STEPS_MAX and passed_ms >= (step + 1) * 1000:
            step += 1
            teller.say(
                {f"IncrementalResult.{step}.TestBytesReceived": total},
                done_parts=min(10_000, passed_ms * 10_000 // duration_ms),
            )
    _tell_rate("TestBytesReceived", total, clock.steady_us() - began_us, teller)


def _tell_rate(name: str, size_bytes: int, took_us: int, teller: Teller) -> None:
    teller.say({
        name: size_bytes,
        "EOMTime": clock.now_ms(),
        "PeriodOfFullLoading": took_us,
        "X_OLEADA_Rate": size_bytes * 8_000 // max(1, took_us),
    })  # fmt: skip
