"""Somebody tries tokens without end, from the address that honest boxes come from too."""

import asyncio
import random
from typing import Any, Final

from oleada_lab.bench.report import quantile
from oleada_lab.storm import enrolling
from oleada_lab.storm.enrolling import Applicant, Door, Tally
from oleada_lab.storm.ground import Ground

HONEST: Final = 20
AT_ONCE: Final = 16


def run(ground: Ground, count: int, seed: int) -> dict[str, Any]:
    """Return what *count* wrong tokens met, and how honest boxes fared beside them."""
    dice = random.Random(f"{seed}/wrong")
    applicants = enrolling.make_applicants(ground, 2 * HONEST, "HONEST")
    before, during, wrong = Tally(), Tally(), Tally()
    door = Door(ground, dice)

    async def storm() -> None:
        await enrolling.all_at_once(door, applicants[:HONEST], before)
        left = [{**applicants[0].body, "token": f"{dice.getrandbits(192):048x}"}] * count
        tries = [asyncio.create_task(_try(door, left, wrong)) for _ in range(AT_ONCE)]
        await _one_by_one(door, applicants[HONEST:], during)
        await asyncio.gather(*tries)

    asyncio.run(storm())
    refused, slowed = wrong.statuses[403], wrong.statuses[429]
    others = {str(s): n for s, n in wrong.statuses.items() if s not in (403, 429)}
    return {
        "wrong_tokens": count,
        "refused_403": refused,
        "slowed_429": slowed,
        "told_when_to_come_again": wrong.retry_after,
        "other_answers": others,
        "honest": HONEST,
        "honest_enrolled": during.statuses[200],
        "honest_slowed": sum(during.statuses.values()) - during.statuses[200],
        "honest_p95_at_once_s": round(quantile(before.waits_s or [0.0], 0.95), 3),
        "honest_p95_during_s": round(quantile(during.waits_s or [0.0], 0.95), 3),
        "met": during.statuses == {200: HONEST}
        and not others
        and wrong.retry_after == slowed > 0
        and refused + slowed == count,
    }


async def _try(door: Door, left: list[dict[str, str]], tally: Tally) -> None:
    while left:
        await door.ask(left.pop(), tally)


async def _one_by_one(door: Door, applicants: list[Applicant], tally: Tally) -> None:
    for applicant in applicants:
        await door.enrol(applicant, tally)
