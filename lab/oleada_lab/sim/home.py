"""What the agent of a simulated box sees of the box that it lives in."""

from collections.abc import Callable
from typing import Protocol

from oleada_agent.shell import Shell

from oleada_lab.sim.disk import SimDisk
from oleada_lab.sim.door import Wrong
from oleada_lab.sim.link import SimLink
from oleada_lab.sim.street import Senses, Street
from oleada_lab.sim.world import Dice


class Living(Protocol):
    """An agent that runs."""

    @property
    def shell(self) -> Shell:
        """The machine with its journal."""
        ...


class Home(Protocol):
    """One box, as its agent knows it.

    Attributes:
        on_phase: To be called with each phase that is reported.
        spool_messages: The most that ever waited in the outbox.
    """

    device_id: str
    model: str
    street: Street
    senses: Senses
    disk: SimDisk
    link: SimLink
    pace: Dice
    dice: Dice
    door_wrong: Wrong
    spool_messages: int
    on_phase: Callable[[str], None]

    @property
    def living(self) -> Living | None:
        """The agent, while one runs."""
        ...

    def wall_ms(self) -> int:
        """Return what the box's clock shows, UTC ms."""
        ...

    def note(self, what: str) -> None:
        """Add to the trace what the box does."""
        ...

    def later(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Let *act* happen in *delay_ms*, unless the box restarts or loses power before."""
        ...

    def guard(self, act: Callable[[], None]) -> None:
        """Let *act* happen if there is power, and live with what it does to the box."""
        ...

    def agent_died(self) -> None:
        """Let the watchdog restart the box."""
        ...

    def restart_agent(self) -> None:
        """Let the agent alone begin anew, in the same boot."""
        ...
