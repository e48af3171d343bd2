"""The waves of a plan as its form has them: rows of short texts, and templates of them."""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from oleada_server.rollouts.spec import WaveSpec, usual_limits
from oleada_server.web import plan_rules

UNIT_S: Final = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class WaveRow:
    """One wave as typed: shares in percent, *soak* as ``48 h``."""

    name: str = ""
    until: str = "100"
    updated: str = "95"
    failed: str = ""
    silent: str = "10"
    sample: str = ""
    soak: str = "24 h"


def templates(*, has_evidence: bool) -> dict[str, tuple[WaveRow, ...]]:
    """Return the waves of each template; beside evidence their limits are only the wide guard."""
    usual = usual_limits(has_evidence=has_evidence)
    row = WaveRow(
        failed=format(Decimal(str(usual["failed_share_max"])) * 100, ".0f"),
        sample=str(usual["sample_min"]),
    )
    return {
        "careful": tuple(replace(row, until=u, soak="48 h") for u in ("1", "5", "25", "100")),
        "usual": tuple(replace(row, until=until) for until in ("5", "25", "100")),
        "once": (row,),
    }


def row_of(wave: WaveSpec) -> WaveRow:
    """Return how the form shows *wave*."""
    return WaveRow(
        name="" if re.fullmatch(r"Wave \d+", wave.name) else wave.name,
        until=plan_rules.whom_text(wave),
        updated=plan_rules.percent_text(wave.success_share_min),
        failed=plan_rules.percent_text(wave.failed_share_max),
        silent=plan_rules.percent_text(wave.silent_share_max),
        sample=str(wave.sample_min),
        soak=soak_text(wave.soak_s),
    )


def soak_text(soak_s: int) -> str:
    """Return *soak_s* as the form takes it, in the largest unit that it is whole in."""
    for unit in ("h", "min"):
        if soak_s % UNIT_S[unit] == 0:
            return f"{soak_s // UNIT_S[unit]} {unit}"
    return f"{soak_s} s"
