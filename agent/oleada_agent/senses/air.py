"""The box's own Wi-Fi link: channel, band and rates, as ``iw`` tells; never a name or address.

The kernel has them behind netlink alone, and a model with Wi-Fi has ``iw``. It is run with
a bound, in the senses' own thread; a model without it reports none of them.
Source: iw(8), ``dev … link``; IEEE 802.11, E.1; TR-181 2.x, WiFi.
"""

import os
import re
import select
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from oleada_agent import clock

LIMIT_MS: Final = 2_000
SAID_BYTES_MAX: Final = 16 * 1024
END: Final = "Device.WiFi.EndPoint.1.Stats."
RADIO: Final = "Device.WiFi.Radio.1."
KBIT: Final = 1_000
_FREQUENCY: Final = re.compile(r"^\s*freq: (\d{4})(?:\.\d+)?\s*$", re.MULTILINE)
_RATES: Final = re.compile(r"^\s*([rt]x) bitrate: (\d{1,6})(?:\.(\d))?\d* MBit/s", re.MULTILINE)
Parameters = dict[str, bool | int | str]


class AirError(Exception):
    """``iw`` does not come to an end, or says too much."""


def link(machine: Path, paths: str | None = None) -> Parameters:
    """Return how the first interface with an antenna is linked; nothing where none is.

    Args:
        paths: Where ``iw`` may lie, as in ``PATH``; the agent's own if None.

    Raises:
        AirError: see there.
    """
    places = sorted((machine / "sys/class/net").glob("*/wireless"))
    program = _find("iw", os.environ.get("PATH", os.defpath) if paths is None else paths)
    if not places or program is None:
        return {}
    return read(_said([program, "dev", places[0].parent.name, "link"]))


def read(text: str) -> Parameters:
    """Return what ``iw dev … link`` says in *text*."""
    found: Parameters = {}
    if (frequency := _FREQUENCY.search(text)) is not None:
        mhz = int(frequency[1])
        if channel := channel_of(mhz):
            found[f"{RADIO}Channel"] = channel
            found[f"{RADIO}OperatingFrequencyBand"] = band_of(mhz)
    for way, whole, tenth in _RATES.findall(text):
        name = "LastDataDownlinkRate" if way == "rx" else "LastDataUplinkRate"
        found[f"{END}{name}"] = int(whole) * KBIT + int(tenth or 0) * KBIT // 10
    return found


def channel_of(mhz: int) -> int:
    """Return the channel whose middle is *mhz*; 0 for one that has none (IEEE 802.11, E.1)."""
    if mhz == 2_484:
        return 14
    if 2_412 <= mhz <= 2_472:
        return (mhz - 2_407) // 5
    if 5_000 <= mhz <= 5_900:
        return (mhz - 5_000) // 5
    return (mhz - 5_950) // 5 if 5_955 <= mhz <= 7_115 else 0


def band_of(mhz: int) -> str:
    """Return the band of *mhz* as TR-181 calls it."""
    if mhz < 3_000:
        return "2.4GHz"
    return "5GHz" if mhz < 5_950 else "6GHz"


def _find(name: str, paths: str) -> str | None:
    places = (f"{folder}/{name}" for folder in paths.split(os.pathsep) if folder)
    return next((place for place in places if os.access(place, os.X_OK)), None)


def _said(command: list[str]) -> str:
    """Return what *command* says; it is ended when it takes too long."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.posix_spawn(
            command[0], command, {"LANG": "C"}, file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)]
        )
    finally:
        os.close(writing)
    try:
        return _all(reading).decode("utf-8", "replace")
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _all(reading: int) -> bytes:
    until_ms, data = clock.steady_ms() + LIMIT_MS, b""
    while (left_ms := until_ms - clock.steady_ms()) > 0 and len(data) <= SAID_BYTES_MAX:
        if select.select([reading], [], [], left_ms / 1000)[0]:
            piece = os.read(reading, 4096)
            if not piece:
                return data
            data += piece
    raise AirError("iw does not come to an end.")
