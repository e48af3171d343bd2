"""The wish of a story's server to tick: the earliest moment that anybody has asked for."""

from collections.abc import Callable

from oleada_lab.sim.desk import Desk
from oleada_lab.sim.world import World


class Ticker:
    """Calls *tick* when it was wanted, and *pause_ms* later while the *desk* is down.

    Nothing can be wanted before ``begin``.
    """

    def __init__(
        self, world: World, desk: Desk, tick: Callable[[], None], *, pause_ms: int
    ) -> None:
        self._world, self._desk, self._ring = world, desk, tick
        self._pause_ms = pause_ms
        self._has_begun = False
        self._at_ms: int | None = None

    def begin(self) -> None:
        """Let ticks be wanted from now on."""
        self._has_begun = True

    def want(self, in_ms: int) -> None:
        """Tick in *in_ms*, unless that will happen sooner."""
        at_ms = self._world.now_ms + in_ms
        is_soon = self._at_ms is not None and self._at_ms <= at_ms
        if is_soon or not self._has_begun:
            return
        self._at_ms = at_ms

        def ring() -> None:
            if self._at_ms == at_ms:
                self.tick()

        self._world.after(in_ms, ring)

    def tick(self) -> None:
        """Tick now, if the desk is up."""
        self._at_ms = None
        if self._desk.is_up:
            self._ring()
        else:
            self.want(self._pause_ms)
