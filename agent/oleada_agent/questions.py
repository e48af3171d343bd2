"""What a box asks the server: for a lease, and what time it is.

A question is not kept: it is sent over the connection that there is, and again when the
server has shown that it hears. Each answer is signed and names its question, which
proves the time (trust/trusted_time.py); so a box that needs only that asks for a lease
of nothing.
"""

from collections.abc import Callable
from typing import Final

from oleada_wire.messages import Header, LeaseRequest
from oleada_wire.words import LeasePhase

from oleada_agent.backoff import Backoff, Below
from oleada_agent.machine_states import Gate, State
from oleada_agent.trust.trusted_time import TrustedTime

ANSWER_MS: Final = 30_000
"""A server that is well answers sooner."""
PAUSES: Final = Backoff(30_000, 1_800_000)


class Questions:
    """The ``Link`` port, and the clock's way to the server.

    Args:
        header: Makes the header of a message.
        send: Publishes, if there is a connection.
        time: Is told of each question.
        steady_ms: A clock that never jumps.

    Attributes:
        is_connected: Whether there is a connection.
        is_heard: Whether the server has answered over it.
    """

    def __init__(
        self,
        header: Callable[[], Header],
        send: Callable[[LeaseRequest], None],
        time: TrustedTime,
        *,
        steady_ms: Callable[[], int],
        below: Below,
    ) -> None:
        self._header = header
        self._send = send
        self._time = time
        self._steady_ms = steady_ms
        self._below = below
        self._lease: tuple[str, int, LeasePhase] | None = None
        self._asked = 0
        self._due_ms: int | None = None
        self.is_connected = False
        self.is_heard = False

    def ask_lease(self, assignment_id: str, attempt: int, phase: LeasePhase) -> None:
        """Ask once; without a connection, on the next one."""
        self._lease = (assignment_id, attempt, phase)
        self._send_lease()

    def ask_time(self) -> None:
        """Ask what time it is, ever more rarely, until the server has told."""
        if self._asked == 0:
            self._asked = 1
            self._send_time()

    def connected(self) -> None:
        """There is a connection; who is at its other end is not known yet."""
        self.is_connected, self.is_heard = True, False

    def disconnected(self) -> None:
        """There is none any more."""
        self.is_connected = self.is_heard = False
        self._due_ms = None

    def heard(self, state: State) -> None:
        """The server hears: ask again what the box, in *state*, still wants to know.

        Not as soon as there is a connection: a broker that has just started forgets what
        comes before the server has subscribed.
        """
        self.is_heard = True
        if getattr(state.stage, "gate", None) is not Gate.LEASE:
            self._lease = None
        self._send_lease()
        if self._asked:
            self._send_time()

    def next_due_ms(self) -> int | None:
        """Return in how many milliseconds ``ask_again`` wants to be called; None: not at all."""
        if self._time.is_fresh:
            self._asked, self._due_ms = 0, None
        return None if self._due_ms is None else max(0, self._due_ms - self._steady_ms())

    def ask_again(self) -> None:
        """Ask what time it is once more, if it was asked and not told."""
        if self._due_ms is not None:
            self._asked += 1
            self._send_time()

    def _send_lease(self) -> None:
        if self._lease is not None and self.is_connected:
            self._ask(*self._lease)

    def _send_time(self) -> None:
        if self.is_heard:
            self._ask("", 1, LeasePhase.START)
            pause_ms = ANSWER_MS + PAUSES.pause_ms(self._asked, self._below)
            self._due_ms = self._steady_ms() + pause_ms

    def _ask(self, assignment_id: str, attempt: int, phase: LeasePhase) -> None:
        header = self._header()
        self._time.asked(header.id)
        self._send(LeaseRequest(header, assignment_id, attempt, phase))
