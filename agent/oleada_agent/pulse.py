"""When a box tells how it is, and when it gives memory back."""

from collections.abc import Callable
from typing import Final

from oleada_agent import clock, memory
from oleada_agent.config import Config
from oleada_agent.machine_states import State
from oleada_agent.senses.gathering import HUNG, PATIENCE_MS, Gathered, Senses
from oleada_agent.timers import Timers
from oleada_agent.trust.authority import Authority
from oleada_agent.voice import Voice

FIRST_HEALTH_MS: Final = 5_000
GIVE_BACK_MS: Final = 10_000
GIVE_BACK_AGAIN_MS: Final = 600_000
REFUSED: Final = "X_OLEADA_RefusedCommands"
HEALTH_TIMER: Final = "health"
HUNG_TIMER: Final = "senses"
MEMORY_TIMER: Final = "memory"


class Pulse:
    """Puts a health message into the outbox from time to time.

    Args:
        config: Says how long between two looks, give or take a tenth, and how many are
            told of together.
        senses: Asked before each message.
        state: Returns what the machine is at.
        refused: Returns how many commands were refused since the start.
    """

    def __init__(
        self,
        voice: Voice,
        authority: Authority,
        timers: Timers,
        config: Config,
        senses: Senses,
        *,
        state: Callable[[], State],
        refused: Callable[[], int],
    ) -> None:
        self._voice = voice
        self._authority = authority
        self._timers = timers
        self._config = config
        self._senses = senses
        self._state = state
        self._refused = refused
        self._is_asking = False
        self._is_wanted = True
        self._held = 0

    def begin(self) -> None:
        """Begin; a street of boxes that starts at once does not tell it at once."""
        first_ms = min(FIRST_HEALTH_MS, self._config.health_s * 1000)
        self._timers.set(HEALTH_TIMER, clock.below(first_ms + 1))
        self._timers.set(MEMORY_TIMER, GIVE_BACK_MS)

    def again(self) -> None:
        """Tell how the box is, and do it again in a while."""
        self._ask()
        self._set_timer()

    def use(self, config: Config) -> None:
        """Go by other settings from now on."""
        if self._period(config) != self._period(self._config):
            self._config = config
            self._set_timer()

    def report(self) -> str:
        """Tell how the box is because the server asks, with what is held back."""
        self._is_wanted = True
        self._ask()
        return "a health message is on its way"

    def take(self, gathered: Gathered) -> None:
        """Tell what the senses have said; what comes too late was told of."""
        if self._is_asking:
            self._put(dict(gathered.parameters))

    def tell_hung(self) -> None:
        """Tell that a sense does not come back, and how the box is without it."""
        if self._is_asking:
            self._put({HUNG: True})

    def give_back(self) -> None:
        """Give back memory, and do it again in a while."""
        memory.give_back()
        self._timers.set(MEMORY_TIMER, GIVE_BACK_AGAIN_MS)

    def _set_timer(self) -> None:
        period_ms = self._config.health_s * 1000
        self._timers.set(HEALTH_TIMER, period_ms * 9 // 10 + clock.below(period_ms // 5 + 1))

    @staticmethod
    def _period(config: Config) -> tuple[int, int]:
        return config.health_s, config.health_batch

    def _ask(self) -> None:
        if self._senses.begin():
            self._is_asking = True
            self._timers.set(HUNG_TIMER, PATIENCE_MS)
        elif not self._is_asking:
            self._put({HUNG: True})

    def _put(self, parameters: dict[str, bool | int | str]) -> None:
        self._is_asking = False
        self._timers.set(HUNG_TIMER, None)
        is_behind = clock.now_ms() < self._authority.floor.floor_ms
        is_held = not self._is_wanted and self._held + 1 < self._config.health_batch
        self._held = self._held + 1 if is_held else 0
        self._is_wanted = False
        parameters[REFUSED] = self._refused()
        self._voice.put_health(
            self._state(), parameters, is_clock_behind=is_behind, is_held=is_held
        )
