"""Healthy days, compressed: the agent's own senses read a home that is well, hour by hour.

The same folders and the same media player as around a real box, read by the code that ships,
in this process; the server's own code makes facts of each hour and judges them as of a box
of which nobody has complained. Counters rise, the processor, the heat and the Wi-Fi sway,
the television goes off at night. What is called likely is a false alarm.
"""

import shutil
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from oleada_agent.booted import BootFacts
from oleada_agent.senses.gathering import Senses
from oleada_server.diagnosis import derived, judge, reading
from oleada_server.diagnosis.derived import Sample
from oleada_wire.ids import BootId
from oleada_wire.words import BootReason

from oleada_lab.clinic.bed import Bed, healthy
from oleada_lab.clinic.surroundings import Surroundings
from oleada_lab.clinic.ward import HOSTS
from oleada_lab.media.daemon import serve

HOURS: Final = 24
LOOKED_AT: Final = (3, 9, 15, 21)
"""Hours at which the server looks; each judges the hour before."""
NIGHT: Final = range(1, 7)
HOUR: Final = timedelta(hours=1)
MIDNIGHT: Final = datetime(2026, 1, 15, tzinfo=UTC)
FACTS: Final = BootFacts(
    "A", "1.0.0", BootId(7, "0a1b2c3d"), BootReason.POWER_ON, 1, successful=True,
    after_watchdog=False, provides=(),
)  # fmt: skip


def live(home: Path, seeds: Iterable[int]) -> dict[str, Any]:
    """Return how many healthy days were lived, and what was called likely on them."""
    days, looks, alarms, told = 0, 0, Counter[str](), 0
    for seed in seeds:
        folder = home / f"{seed}"
        samples = day(folder, seed)
        shutil.rmtree(folder)
        days, told = days + 1, told + sum(len(one.parameters) for one in samples)
        for hour in LOOKED_AT:
            looks += 1
            alarms.update(likely(samples[hour - 1 : hour + 1]))
    return {
        "box_days": days, "looks": looks, "readings": told,
        "incidents": sum(alarms.values()), "by_cause": dict(alarms),
    }  # fmt: skip


def day(folder: Path, seed: int) -> list[Sample]:
    """Return what the senses of one box say at each hour of a healthy day."""
    dice = Random(f"day {seed}")
    bed = healthy(dice)
    hourly = dict(bed.counts)
    room = Surroundings(folder, seed % 60_000, bed.facts)
    room.make(HOSTS)
    box = folder / "box"
    (box / "run").mkdir(parents=True)
    (box / "data").mkdir()
    senses = Senses(box, FACTS, lambda gathered: None, folder)
    samples = []
    with serve(box, bed.player):
        for hour in range(HOURS):
            _sway(bed, hourly, dice, is_night=hour in NIGHT)
            room.write(int(HOUR.total_seconds()))
            samples.append(Sample(MIDNIGHT + hour * HOUR, "b", senses.ask()))
    return samples


def likely(samples: list[Sample]) -> list[str]:
    """Return the causes that are likely by the last two of *samples*, nobody having complained."""
    library = reading.library()
    now = samples[-1].at
    counters = [
        sign.fact.removeprefix("hour:")
        for sign in library.signs.values()
        if sign.fact.startswith("hour:")
    ]
    facts = derived.newer(
        derived.reported(samples[-1].parameters, now), derived.risen(samples, counters)
    )
    verdict = judge.diagnose(library, reading.playbook(library, "unsaid"), facts, now)
    return [one.cause.id for one in verdict.likely]


def _sway(bed: Bed, hourly: dict[str, int], dice: Random, *, is_night: bool) -> None:
    """Let one more hour pass at a home that is well."""
    facts, player = bed.facts, bed.player
    facts.busy_share = min(0.75, max(0.03, facts.busy_share + dice.gauss(0, 0.04)))
    facts.free_share = min(0.7, max(0.24, facts.free_share + dice.gauss(0, 0.02)))
    facts.heat_c = round(min(84, max(30, facts.heat_c + dice.gauss(0, 2))))
    facts.signal_dbm = round(min(-35, max(-67, facts.signal_dbm + dice.gauss(0, 2))))
    facts.retries = dice.randint(0, 10)
    player.readings["X_OLEADA_Standby"] = is_night
    if is_night:
        return
    player.watched_s += int(HOUR.total_seconds())
    for name, count in hourly.items():
        player.counts[name] = player.counts.get(name, 0) + round(count * dice.uniform(0.3, 1.7))
