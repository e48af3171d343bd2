"""When the agent's thread must look at something, by a clock that never jumps."""

from dataclasses import dataclass, field
from typing import Final

from oleada_agent import clock

WAIT_MS_MAX: Final = 86_400_000
"""The system's own timers end somewhere; what a peer asks for need not."""


@dataclass(slots=True)
class Timers:
    """What is due when, by the steady clock; each name has one due time or none."""

    due_ms: dict[str, int] = field(default_factory=dict)

    def set(self, name: str, delay_ms: int | None) -> None:
        """Make *name* due in *delay_ms*, instead of before; None: not at all."""
        if delay_ms is None:
            self.due_ms.pop(name, None)
        else:
            self.due_ms[name] = clock.steady_ms() + delay_ms

    def take_due(self) -> list[str]:
        """Return the names that are due, the earliest first; they are set no more."""
        now_ms = clock.steady_ms()
        found = sorted((at, name) for name, at in self.due_ms.items() if at <= now_ms)
        for _, name in found:
            del self.due_ms[name]
        return [name for _, name in found]

    def wait_s(self) -> float | None:
        """Return how long to wait before looking again, a day at most; None for ever."""
        if not self.due_ms:
            return None
        left_ms = min(self.due_ms.values()) - clock.steady_ms()
        return min(max(0, left_ms), WAIT_MS_MAX) / 1000
