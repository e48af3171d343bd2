"""The server of a sweep: one release, one command, one verdict for each box, as in virtual time.

What it does is what ``sweep.desk`` does there: the command is sent until its result has
come, and a verdict ends the assignment.
"""

from collections.abc import Iterator
from typing import Final

from oleada_agent import clock
from oleada_wire import messages
from oleada_wire.messages import Assign, Cmd, LeaseRequest, Report
from oleada_wire.topics import Down, Up

from oleada_lab.clock import monotonic_s
from oleada_lab.real.desk import HOUR_MS, Desk
from oleada_lab.real.house import House

COMMAND: Final = "C-1"


class Server(Desk):
    """A desk that gives one command and ends what has a verdict."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._has_result = False
        self._noted: list[tuple[float, Up, bytes]] = []
        self._leases: dict[tuple[str, int, str], int] = {}

    def meet(self, device_id: str) -> None:
        """Talk to the box *device_id* from now on."""
        self.device_id = self.house.device_id = device_id

    def remember(self, *, has_result: bool, has_verdict: bool, image: bytes) -> None:
        """Know of the box what a server knew at an earlier moment, and nothing since."""
        self._has_result = has_result
        self._noted.clear()
        self._leases.clear()
        if has_verdict:
            self._end()
        else:
            self.assign(image)

    def noted(self, until_s: float) -> Iterator[tuple[Up, bytes]]:
        """Yield what it has heard since it remembered, up to a moment of the steady clock."""
        for at_s, kind, payload in tuple(self._noted):
            if at_s <= until_s:
                yield kind, payload

    def note(self, kind: Up, payload: bytes) -> None:
        """Write down when it was heard: before the box hears that it was."""
        self._noted.append((monotonic_s(), kind, payload))

    def lease_until_ms(self, request: LeaseRequest) -> int:
        """Return one time however often a box asks: a box that has just connected asks twice."""
        name = (self.device_id, request.attempt, request.phase)
        return self._leases.setdefault(name, super().lease_until_ms(request))

    def answer(self, kind: Up, payload: bytes) -> None:
        """Give the command, take its result, end what has a verdict."""
        match kind:
            case Up.HELLO if not self._has_result:
                expires_ms = clock.now_ms() + HOUR_MS
                self.send(
                    Down.CMD, Cmd(self.header(), self.device_id, COMMAND, 1, "ping", expires_ms)
                )
            case Up.RESULT:
                self._has_result = True
            case Up.REPORT if messages.decode(Report, payload).phase.is_final:
                self._end()
            case _:
                return

    def _end(self) -> None:
        self.send(Down.ASSIGN, Assign(self.header(), self.device_id, 2, None), retain=True)
