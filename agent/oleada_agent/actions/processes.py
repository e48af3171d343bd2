"""``process_list``: the largest and busiest processes, by name alone. Source: proc(5)."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from oleada_agent.actions.order import Order, Teller

STATES: Final = {
    "R": "Running", "S": "Sleeping", "D": "Uninterruptible", "T": "Stopped", "t": "Stopped",
    "Z": "Zombie", "I": "Idle",
}  # fmt: skip


class Process(NamedTuple):
    """One process; arguments are not read: they may hold what nobody should know."""

    pid: int
    name: str
    state: str
    priority: int
    cpu_ms: int
    size_kib: int


def process_list(order: Order, teller: Teller) -> None:
    """Tell the processes that take most, those that are busiest among equals first."""
    every = list(_every(order.machine))
    teller.say({"ProcessStatus.ProcessNumberOfEntries": len(every)})
    every.sort(key=lambda one: (-one.size_kib, -one.cpu_ms, one.pid))
    for number, one in enumerate(every[: order.arguments["count"]], start=1):
        at = f"ProcessStatus.Process.{number}."
        teller.say({
            f"{at}PID": one.pid, f"{at}Command": one.name, f"{at}Size": one.size_kib,
            f"{at}Priority": one.priority, f"{at}CPUTime": one.cpu_ms, f"{at}State": one.state,
        })  # fmt: skip


def _every(machine: Path) -> list[Process]:
    found = []
    for place in (machine / "proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError, ValueError, IndexError):  # it ends while it is looked at
                found.append(_read(place))
    return found


def _read(place: Path) -> Process:
    text = (place / "stat").read_text("utf-8", "replace")
    begin, end = text.index("("), text.rindex(")")
    words = text[end + 2 :].split()
    ticks_per_s, page_kib = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE") // 1024
    return Process(
        int(place.name),
        text[begin + 1 : end][:32],
        STATES.get(words[0], words[0]),
        int(words[15]),
        (int(words[11]) + int(words[12])) * 1000 // ticks_per_s,
        int(words[21]) * page_kib,
    )
