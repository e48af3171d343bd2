"""What faults see of a run: the world, the server, the boxes, and what was asked for."""

from typing import Protocol

from oleada_lab.check.facts import Fact
from oleada_lab.scenario import Scenario
from oleada_lab.sim.box import SimBox
from oleada_lab.sim.broker import SimBroker
from oleada_lab.sim.link import Profile
from oleada_lab.sim.serving import Server
from oleada_lab.sim.world import World


class Scene(Protocol):
    """One run of a scenario.

    Attributes:
        profiles: Lines by name.
        boxes: By name, in their order.
    """

    world: World
    scenario: Scenario
    seed: int
    broker: SimBroker
    server: Server
    boxes: dict[str, SimBox]
    profiles: dict[str, Profile]

    def tell(self, fact: Fact) -> None:
        """Take *fact*, which is true now."""
        ...
