"""When the agent's thread must look at something, by a clock that never jumps."""

from dataclasses import dataclass, field

from oleada_agent import clock


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
        """Return how long nothing is due; None for ever."""
        if not self.due_ms:
            return None
        return max(0, min(self.due_ms.values()) - clock.steady_ms()) / 1000
