"""``wifi_scan``: the box's own Wi-Fi, and who else is on the air, without names or addresses.

The scan is ``iw``'s, with a bound of its own: a model without Wi-Fi or without ``iw``
says so. Source: iw(8) scan; TR-181 NeighboringWiFiDiagnostic().
"""

import os
import re
import select
import shutil
from typing import Final

from oleada_wire.words import Refusal, ResultStatus

from oleada_agent import clock
from oleada_agent.actions.order import ActionError, Order, Teller, refused
from oleada_agent.senses import network
from oleada_agent.senses.air import band_of, channel_of

SCAN_BYTES_MAX: Final = 512 * 1024
NEIGHBOURS_MAX: Final = 64
SPARE_MS: Final = 1_000
_BLOCK: Final = re.compile(r"(?m)^BSS ")
_FREQUENCY: Final = re.compile(r"(?m)^\s*freq: (\d+)")
_SIGNAL: Final = re.compile(r"(?m)^\s*signal: (-?\d+)")


def wifi_scan(order: Order, teller: Teller) -> None:
    """Tell how strong the own Wi-Fi is, and what else is heard.

    Raises:
        ActionError: the box has no Wi-Fi or nothing to look with, or the scan fails.
    """
    own = network.radio(order.machine) if (order.machine / "sys/class/net").is_dir() else {}
    program = shutil.which("iw")
    places = (order.machine / "sys/class/net").glob("*/wireless")
    name = next((place.parent.name for place in places), None)
    if name is None:
        raise refused(Refusal.NOT_ON_THIS_MODEL, "This box has no Wi-Fi.")
    teller.say(_told(own, "SignalStrength"))
    if program is None:
        raise refused(Refusal.NOT_ON_THIS_MODEL, "This model has no iw to look around with.")
    again = network.Air()
    again.read(order.machine)
    text = _run([program, "dev", name, "scan"], order.timeout_ms - SPARE_MS)
    teller.say(_told(again.read(order.machine), "Retransmissions"))
    for values in neighbours(text):
        teller.say(values)


def _told(found: network.Parameters, name: str) -> network.Parameters:
    """Return what *found* has under *name*, as the action calls it."""
    return {
        path.removeprefix("Device."): value
        for path, value in found.items()
        if path.rpartition(".")[2] == name
    }


def neighbours(text: str) -> list[dict[str, bool | int | str]]:
    """Return what ``iw`` has heard in *text*: the strongest first, nobody's name."""
    found = [one for block in _BLOCK.split(text)[1:] if (one := _read(block)) is not None]
    found.sort(key=lambda one: (not one[0], -one[2]))
    return [
        {
            f"Result.{number}.X_OLEADA_IsOwn": is_own,
            f"Result.{number}.Channel": channel_of(mhz),
            f"Result.{number}.SignalStrength": signal,
            f"Result.{number}.OperatingFrequencyBand": band_of(mhz),
            f"Result.{number}.SecurityModeEnabled": security,
        }
        for number, (is_own, mhz, signal, security) in enumerate(found[:NEIGHBOURS_MAX], start=1)
    ]


def _read(block: str) -> tuple[bool, int, int, str] | None:
    frequency, signal = _FREQUENCY.search(block), _SIGNAL.search(block)
    if frequency is None or signal is None:
        return None
    security = "None"
    for mark, mode in (("Privacy", "WEP"), ("WPA:", "WPA"), ("RSN:", "WPA2"), ("SAE", "WPA3")):
        if mark in block:
            security = mode
    is_own = "-- associated" in block.partition("\n")[0]
    return is_own, int(frequency[1]), int(signal[1]), security


def _run(command: list[str], timeout_ms: int) -> str:
    """Return what *command* says; the agent ends it together with this process."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, writing, 1)]
    pid = os.posix_spawn(command[0], command, {"LANG": "C"}, file_actions=actions)
    os.close(writing)
    until_ms, data = clock.steady_ms() + timeout_ms, b""
    try:
        while (left_ms := until_ms - clock.steady_ms()) > 0:
            if not select.select([reading], [], [], left_ms / 1000)[0]:
                break
            piece = os.read(reading, 65_536)
            data += piece
            if not piece or len(data) > SCAN_BYTES_MAX:
                break
    finally:
        os.close(reading)
    if left_ms <= 0:
        raise ActionError(ResultStatus.TIMEOUT, "The scan does not come to an end.")
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise ActionError(ResultStatus.INTERNAL, "The scan failed; the radio may be in use.")
    return data.decode("utf-8", "replace")
