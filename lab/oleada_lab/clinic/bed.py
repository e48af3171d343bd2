"""What is so at one box's home, and what its household and the desk know; faults change it."""

from dataclasses import dataclass, field
from random import Random
from typing import Final

from oleada_lab.clinic.street import Road
from oleada_lab.clinic.surroundings import Facts, Neighbour
from oleada_lab.media.player import Player, Values

CHANNELS_24: Final = (2_412, 2_437, 2_462)
"""The three that do not overlap: 1, 6 and 11."""
WATCHED_S: Final = 2_400
"""So much of the channel is watched between the two health messages of a case."""


@dataclass(slots=True)
class Bed:
    """One home; the defaults are of one that is well.

    Attributes:
        after: What the player says after the time in which the fault showed.
        damaged: Packets that came damaged over the cable meanwhile.
        said: How the household or the desk would truly answer each question.
        plays: Whether the stream moves.
        lie: What the player's socket does instead of a good answer.
        many: What the neighbours who complain of the same share with this home.
        channel: What the household calls it; empty for none in particular.
        version: Of the image that the box runs.
        dark_days: It was off so long before it was switched on again.
        cold_boots: Its plug was out so often within the day.
        is_off, is_cut: It has no power now; or it has, and no way to its server.
        silent_s: Since when nobody has heard it, if it is off or cut.
        small_bytes: Of the disk of its data; 0 for the machine's own.
        clock_ms: How far its clock is wrong.
    """

    facts: Facts = field(default_factory=Facts)
    road: Road = field(default_factory=Road)
    player: Player = field(default_factory=Player)
    after: Values = field(default_factory=dict)
    damaged: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    said: dict[str, bool] = field(default_factory=dict)
    plays: bool = True
    lie: str = ""
    many: str = ""
    channel: str = ""
    version: str = "1.0.0"
    dark_days: int = 0
    cold_boots: int = 0
    is_off: bool = False
    is_cut: bool = False
    silent_s: int = 0
    small_bytes: int = 0
    clock_ms: int = 0

    def say(self, **readings: bool | int | str) -> None:
        """Let the player say *readings* from now on; ``__`` stands for a dot."""
        self.after |= {name.replace("__", "."): value for name, value in readings.items()}

    def count(self, name: str, least: float, most: float, dice: Random) -> None:
        """Let counter *name* rise by so much within the time."""
        self.counts[name] = self.counts.get(name, 0) + round(dice.uniform(least, most))


ANSWERS: Final = {
    "one-channel-only": False,
    "charges-active": True,
    "in-package": True,
    "led-on": True,
    "box-sees-remote": True,
    "remote-light": True,
    "reacts-to-key": True,
    "others-online": True,
}
"""What the household and the desk of a home that is well would say."""


def healthy(dice: Random) -> Bed:
    """Return a home without a fault; homes differ, and few are perfect."""
    facts = Facts(
        on_wifi=dice.random() < 0.7,
        signal_dbm=round(min(-35, max(-66, dice.gauss(-56, 5)))),
        retries=dice.randint(0, 9),
        air=_air(dice, dice.choice((0, 1, 1, 2, 2, 3, 3, 4))),
        busy_share=min(0.7, max(0.05, dice.gauss(0.38, 0.1))),
        free_share=min(0.7, max(0.25, dice.gauss(0.48, 0.07))),
        heat_c=round(min(82, max(35, dice.gauss(60, 6)))),
        worn=dice.randint(1, 6),
        uptime_s=dice.randint(4_000, 900_000),
    )
    bed = Bed(facts, said=dict(ANSWERS))
    bed.player.readings = {
        "X_OLEADA_RemoteBattery": dice.randint(12, 100),
        "Components.AudioOutput.1.AudioLevel": dice.randint(25, 100),
        "Components.SPDIF.1.Passthrough": dice.random() < 0.04,
        "ServiceMonitoring.GlobalOperation.Total.MaximumPortalResponse": dice.randint(200, 2500),
    }
    bed.road.rate_kbit_s = dice.randint(20_000, 90_000)
    for name, most in (
        ("RTPStats.PacketsLostBeforeEC", 60), ("DejitteringStats.Underruns", 2),
        ("VideoDecoderStats.LostFrames", 8), ("AudioDecoderStats.DecodingErrors", 5),
        ("MPEG2TSStats.PacketDiscontinuityCounterBeforeCA", 6),
    ):  # fmt: skip
        bed.count(name, 0, most, dice)
    return bed


def crowd(bed: Bed, dice: Random, networks: int) -> None:
    """Let *networks* others share the channel of the box's own Wi-Fi."""
    bed.facts.air = _air(dice, networks)


def _air(dice: Random, same: int) -> tuple[Neighbour, ...]:
    own, *others = dice.sample(CHANNELS_24, 3)
    there = [Neighbour(own, -50, is_own=True)]
    there += [Neighbour(own, dice.randint(-85, -60)) for _ in range(same)]
    there += [Neighbour(dice.choice(others), dice.randint(-85, -60)) for _ in range(3)]
    return tuple(there)
