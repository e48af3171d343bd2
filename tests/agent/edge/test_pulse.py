"""A box says how it is from time to time, and at once when somebody asks."""

from dataclasses import dataclass, field
from typing import Any, cast

from oleada_agent import config
from oleada_agent.pulse import HEALTH_TIMER, HUNG_TIMER, REFUSED, Pulse
from oleada_agent.senses.gathering import HUNG, Gathered, Parameters
from oleada_agent.timers import Timers

from tests.agent.edge.test_config import LEAST

HOURLY = config.parse({**LEAST, "health_s": 3_600, "health_batch": 3}, "config.toml")


@dataclass
class Ground:
    """What a pulse stands on: senses that answer when told to, and what was put."""

    timers: Timers = field(default_factory=Timers)
    put: list[tuple[Parameters, bool]] = field(default_factory=list)
    is_hanging: bool = False
    floor: Any = field(default_factory=lambda: type("Floor", (), {"floor_ms": 0}))

    def begin(self) -> bool:
        """As senses do."""
        return not self.is_hanging

    def put_health(
        self, _state: object, parameters: Parameters, *, is_clock_behind: bool, is_held: bool
    ) -> None:
        """As a voice does."""
        assert not is_clock_behind
        assert parameters.pop(REFUSED) == 3
        self.put.append((parameters, is_held))

    def pulse(self, settings: config.Config) -> Pulse:
        """Return a pulse that has begun."""
        me = cast(Any, self)
        found = Pulse(me, me, self.timers, settings, me, state=lambda: me, refused=lambda: 3)
        found.begin()
        return found


def looked(pulse: Pulse, uptime: int) -> None:
    pulse.again()
    pulse.take(Gathered({"up": uptime}))


def test_the_first_look_goes_at_once_and_then_each_third_takes_the_others_along() -> None:
    ground = Ground()
    pulse = ground.pulse(HOURLY)

    for uptime in range(7):
        looked(pulse, uptime)

    assert [is_held for _, is_held in ground.put] == [False, True, True, False, True, True, False]


def test_who_asks_is_told_at_once() -> None:
    ground = Ground()
    pulse = ground.pulse(HOURLY)
    for uptime in range(2):
        looked(pulse, uptime)

    pulse.report()
    pulse.take(Gathered({"up": 9}))
    looked(pulse, 10)

    assert ground.put[2:] == [({"up": 9}, False), ({"up": 10}, True)]


def test_a_sense_that_hangs_is_told_of_once_in_a_look() -> None:
    ground = Ground()
    pulse = ground.pulse(HOURLY)

    pulse.again()
    pulse.tell_hung()
    pulse.take(Gathered({"up": 1}))
    ground.is_hanging = True
    pulse.again()

    assert [parameters for parameters, _ in ground.put] == [{HUNG: True}] * 2
    assert HUNG_TIMER not in ground.timers.due_ms


def test_looks_come_when_the_settings_say_give_or_take_a_tenth() -> None:
    ground = Ground()
    pulse = ground.pulse(HOURLY)

    pauses = []
    for _ in range(50):
        looked(pulse, 1)
        wait_s = ground.timers.due_ms[HEALTH_TIMER] / 1000 - _now_s()
        pauses.append(wait_s)

    assert 3_239 < min(pauses) < 3_500
    assert 3_700 < max(pauses) < 3_961


def test_other_settings_count_at_once_and_the_same_ones_change_nothing() -> None:
    ground = Ground()
    pulse = ground.pulse(HOURLY)
    looked(pulse, 1)
    due_ms = ground.timers.due_ms[HEALTH_TIMER]

    pulse.use(config.parse({**LEAST, "health_s": 3_600, "health_batch": 3}, "config.toml"))
    assert ground.timers.due_ms[HEALTH_TIMER] == due_ms
    pulse.use(config.parse({**LEAST, "health_s": 20}, "config.toml"))

    assert ground.timers.due_ms[HEALTH_TIMER] < due_ms - 3_000_000
    looked(pulse, 2)
    assert ground.put[-1] == ({"up": 2}, False)


def _now_s() -> float:
    """Return the steady time, as timers count it."""
    now = Timers()
    now.set("now", 0)
    return now.due_ms["now"] / 1000
