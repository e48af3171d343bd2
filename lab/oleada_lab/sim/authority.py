"""What a simulated box believes: every signature is good here, but waves and time are real.

The agent's own ``TrustedTime`` and ``Questions`` decide what has ended, as they do in
``oleada_agent.trust.authority``.
"""

from collections.abc import Callable

from oleada_agent.machine_events import Authorised, AuthorityRefused, AuthorityUnknown, Event
from oleada_agent.questions import Questions
from oleada_agent.trust.trusted_time import TrustedTime
from oleada_wire.cohort import place
from oleada_wire.messages import Assignment, Header, Lease, LeaseRequest
from oleada_wire.words import Reason

from oleada_lab.sim.plain import Covered


class SimAuthority:
    """The ``Verifier`` port of one start of the agent, and its clock.

    Args:
        header: Makes the header of a question.
        send: Publishes a question.
        wall_ms: The box's clock.
        steady_ms: The world's.

    Attributes:
        covered: The open waves.
        floor_ms: The newest signed time.
    """

    def __init__(
        self,
        device_id: str,
        header: Callable[[], Header],
        send: Callable[[LeaseRequest], None],
        *,
        wall_ms: Callable[[], int],
        steady_ms: Callable[[], int],
        below: Callable[[int], int],
    ) -> None:
        self._device_id = device_id
        self.covered = Covered("", ())
        self.floor_ms = 0
        self.time = TrustedTime(floor_ms=lambda: self.floor_ms, now_ms=wall_ms, steady_ms=steady_ms)
        self.questions = Questions(header, send, self.time, steady_ms=steady_ms, below=below)

    def now_ms(self) -> int:
        """Return UTC ms, as far as the box can know them."""
        return self.time.now_ms()

    def saw(self, signed_ms: int) -> None:
        """Take note that a signed time has passed."""
        self.floor_ms = max(self.floor_ms, signed_ms)

    def told(self, lease: Lease) -> bool | None:
        """Believe the time in *lease*; return whether that is news, None if nobody asked."""
        self.saw(lease.header.at_ms)
        was_fresh = self.time.is_fresh
        if not self.time.answered(lease.request_id or "", lease.header.at_ms):
            return None
        return not was_fresh

    def authorise(self, assignment: Assignment, security_floor: int, version: str) -> Event | None:
        """Say whether *assignment* is still good, and an open wave covers this box."""
        del security_floor, version
        name, attempt = assignment.assignment_id, assignment.attempt
        if assignment.expires_ms <= self.now_ms():
            if self.time.is_fresh or self.time.least_ms() >= assignment.expires_ms:
                return AuthorityRefused(name, attempt, Reason.EXPIRED)
            self.questions.ask_time()
            return AuthorityUnknown(name, attempt)
        below = dict(self.covered.waves).get(assignment.wave_id, 0)
        if place(self.covered.salt, self._device_id) < below:
            return Authorised(name, attempt)
        return AuthorityUnknown(name, attempt)
