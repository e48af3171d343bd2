"""What the boxes of a story share: time, broker, door, and what each is told of its world."""

from collections.abc import Callable
from dataclasses import dataclass, field

from oleada_agent.boot.choice import Behaviour

from oleada_lab.check.facts import Fact
from oleada_lab.sim.broker import SimBroker
from oleada_lab.sim.door import Door
from oleada_lab.sim.images import Kit
from oleada_lab.sim.link import HOME, Profile
from oleada_lab.sim.world import World


@dataclass(slots=True)
class Street:
    """Everything around the boxes.

    Attributes:
        tell: Hears what is true of a box.
        spread_s: The agent's ``connect_spread_s``.
        health_ms: Between two health messages; None for none.
        boot_ms: Least and most from power to the agent.
        settle_ms: Least and most from the agent to a verdict of the player.
        is_signed: The server signs what it says, and boxes check it.
    """

    world: World
    broker: SimBroker
    door: Door
    kit: Kit
    tell: Callable[[Fact], None]
    profile: Profile = HOME
    spread_s: int = 60
    keepalive_ms: int = 60_000
    health_ms: int | None = 3_600_000
    boot_ms: tuple[int, int] = (20_000, 60_000)
    settle_ms: tuple[int, int] = (30_000, 90_000)
    is_signed: bool = False


@dataclass(slots=True)
class Senses:
    """What is around one box, whatever it is doing.

    Attributes:
        blocked: Why now is no good time: ``viewer``, ``too-hot``; empty when it is.
        clock_ms: How wrong the wall clock is.
        drift_ppm: How much faster than it should the wall clock runs.
        behaviours: By version, how that image behaves on this very box.
        crash_after_ms: By version, when its agent dies after each start.
    """

    blocked: str = ""
    clock_ms: int = 0
    drift_ppm: int = 0
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    crash_after_ms: dict[str, int] = field(default_factory=dict)

    def wall_ms(self, start_ms: int, now_ms: int) -> int:
        """Return what the box's clock shows, UTC ms; never before 1970."""
        return max(0, start_ms + now_ms + self.clock_ms + now_ms * self.drift_ppm // 1_000_000)
