"""``self_test``: what can be tried on the box without disturbing anybody."""

import os
import socket
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from oleada_agent import clock, telemetry
from oleada_agent.actions.order import Order, Teller
from oleada_agent.senses.mediasocket import is_there

PROBE: Final = "data/self-test.tmp"
PROBE_BYTES: Final = 64 * 1024
FREE_BYTES_MIN: Final = 1 << 20
MEMORY_KIB_MIN: Final = 32 * 1024
YEAR_2020_MS: Final = 1_577_836_800_000
HOT_C: Final = 85
CONNECT_S: Final = 5.0


def self_test(order: Order, teller: Teller) -> None:
    """Try one thing after the other, and tell which are well."""
    words: list[str] = []
    for number, (name, probe) in enumerate(TESTS.items(), start=1):
        try:
            problem = probe(order)
        except OSError as error:
            problem = f"{type(error).__name__}: {error}"
        words.append(f"{name}: {problem or 'well'}")
        teller.say(
            {
                f"X_OLEADA_Test.{number}.Name": name,
                f"X_OLEADA_Test.{number}.Passed": not problem,
                f"X_OLEADA_Test.{number}.Detail": problem,
            },
            done_parts=number * 10_000 // len(TESTS),
        )
    teller.say({"Results": "; ".join(words)[:1024]})


def _disk(order: Order) -> str:
    path = order.box / PROBE
    written = os.urandom(PROBE_BYTES)
    try:
        with path.open("wb") as file:
            file.write(written)
            file.flush()
            os.fsync(file.fileno())
        return "" if path.read_bytes() == written else "the disk returns other bytes than written"
    finally:
        path.unlink(missing_ok=True)


def _room(order: Order) -> str:
    free = telemetry.free_bytes(order.box)
    return f"only {free} bytes are free" if free is not None and free < FREE_BYTES_MIN else ""


def _memory(order: Order) -> str:
    free = telemetry.read(order.box, order.machine).get(telemetry.MEMORY_FREE)
    if isinstance(free, int) and free < MEMORY_KIB_MIN:
        return f"only {free} KiB of memory are free"
    return ""


def _heat(order: Order) -> str:
    hottest = telemetry.hottest_c(order.machine)
    return f"{hottest} °C" if hottest is not None and hottest > HOT_C else ""


def _clock(_order: Order) -> str:
    return "" if clock.now_ms() > YEAR_2020_MS else "the clock is not set"


def _door(order: Order) -> str:
    found = urlsplit(str(order.settings.get("enrol_url", "")))
    if not found.hostname:
        return "no address is set"
    with socket.create_connection((found.hostname, found.port or 443), CONNECT_S):
        return ""


def _player(order: Order) -> str:
    if not (order.box / "run/player.ready").exists():
        return "the media player is not ready"
    return "" if is_there(order.box) else "the media player has no socket"


TESTS: Final[dict[str, Callable[[Order], str]]] = {
    "disk": _disk,
    "room": _room,
    "memory": _memory,
    "temperature": _heat,
    "clock": _clock,
    "door": _door,
    "player": _player,
}
