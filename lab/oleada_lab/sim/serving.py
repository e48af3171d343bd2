"""What a story asks of its server, whichever it is: the real services, or rows in memory."""

from typing import Protocol

from oleada_server.rollouts.states import BoxState, RolloutState

from oleada_lab.sim.desk import Desk


class Server(Protocol):
    """One server with one rollout.

    Attributes:
        desk: The worker's place at the broker.
    """

    desk: Desk

    @property
    def state(self) -> RolloutState:
        """Of the rollout."""
        ...

    @property
    def reason(self) -> str:
        """Why it ended early; empty if it has not."""
        ...

    def start(self) -> None:
        """Begin the rollout."""
        ...

    def is_over(self) -> bool:
        """Return whether the rollout has ended and nothing is expected of any box."""
        ...

    def states(self) -> dict[BoxState, int]:
        """Return how many boxes are in each state; those of no box are left out."""
        ...

    def shown(self) -> dict[str, tuple[str, str]]:
        """Return state and reason of each box, as a page would show them."""
        ...

    def waves_opened(self) -> int:
        """Return how many waves were ever open."""
        ...

    def halted_from(self) -> tuple[str, ...]:
        """Return the versions before whose boxes are halted while others go on."""
        ...

    def assigned_again(self) -> int:
        """Return how many boxes were assigned more than once."""
        ...

    def has_health(self, message_id: str) -> bool:
        """Return whether a health message is stored."""
        ...

    def pause(self) -> None:
        """Pause, if it runs."""
        ...

    def resume(self) -> None:
        """Go on after a pause."""
        ...

    def stop(self) -> None:
        """Stop for good, if it has not ended."""
        ...

    def retry(self) -> None:
        """Assign again to whoever has no outcome that is good."""
        ...
