"""Rules as people write them, on the command line and in the form of a plan.

50                                          a rate: at most 50 boxes a minute
50 x2 every 1000 succeeded up to 1000       it doubles with each thousand
failed > 5 % from 100; any > 50 % of the last 20 from 10
"""

import re
from fractions import Fraction
from typing import Any, Final

from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.pace import Constant, Rate
from oleada_server.rollouts.plan import exact
from oleada_server.rollouts.rules import Abort

_RATE: Final = re.compile(
    r"([0-9]{1,8})"
    r"(?:\s*x\s*([0-9]{1,3}(?:[.,][0-9]{1,3})?)\s+every\s+([0-9]{1,8})\s+"
    r"(notified|succeeded)\s+up\s+to\s+([0-9]{1,8}))?"
)
_ABORT: Final = re.compile(
    r"(failed|rejected|timed-out|any)\s*>\s*([0-9]{1,3}(?:[.,][0-9]{1,2})?)\s*%"
    r"(?:\s*of\s+the\s+last\s+([0-9]{1,6}))?\s+from\s+([0-9]{1,8})"
)
_SIZE: Final = re.compile(r"([0-9]{1,13}(?:[.,][0-9]{1,3})?)\s*([kMG]?)B/s|([0-9]{1,13})")
_UNITS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def parse_rate(text: str) -> dict[str, Any]:
    """Return the rate that *text* spells, as JSON of a plan has it.

    Raises:
        BadPlanError: It spells none.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise BadPlanError(
            f"{text[:60]!r} is no rate, such as 50, or 50 x2 every 1000 succeeded up to 1000.",
            "rate",
        )
    base, factor, every, on, top = found.groups()
    if factor is None:
        return {"kind": "constant", "per_minute": int(base)}
    return {
        "kind": "exponential",
        "base_per_minute": int(base),
        "factor": float(factor.replace(",", ".")),
        "every": int(every),
        "on": on,
        "max_per_minute": int(top),
    }


def rate_text(rate: Rate) -> str:
    """Return *rate* as :func:`parse_rate` reads it."""
    if isinstance(rate, Constant):
        return str(rate.per_minute)
    return (
        f"{rate.base_per_minute} x{float(exact(rate.factor)):g} every {rate.every} {rate.on} "
        f"up to {rate.max_per_minute}"
    )


def parse_aborts(text: str) -> list[dict[str, Any]]:
    """Return the abort criteria that *text* spells, as JSON of a plan has them.

    Raises:
        BadPlanError: One of them can not be read.
    """
    return [_abort(part.strip()) for part in text.split(";") if part.strip()]


def aborts_text(aborts: tuple[Abort, ...]) -> str:
    """Return *aborts* as :func:`parse_aborts` reads them."""
    return "; ".join(
        f"{one.on} > {float(exact(one.share_max) * 100):g} %"
        f"{'' if one.last is None else f' of the last {one.last}'} from {one.sample_min}"
        for one in aborts
    )


def parse_bytes_s(text: str, name: str) -> int:
    """Return the bytes a second that *text* spells: ``20 MB/s``, or a plain number.

    Raises:
        BadPlanError: It spells none.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise BadPlanError(f"{text[:20]!r} is no bandwidth, such as 20 MB/s.", name)
    amount, unit, plain = found.groups()
    if plain is not None:
        return int(plain)
    return int(Fraction(amount.replace(",", ".")) * _UNITS[unit])


def bytes_s_text(bytes_s: int) -> str:
    """Return bytes a second as :func:`parse_bytes_s` reads them, never rounded."""
    for unit in ("G", "M", "k"):
        if bytes_s % (_UNITS[unit] // 1000) == 0 and bytes_s >= _UNITS[unit]:
            return f"{bytes_s / _UNITS[unit]:.3f}".rstrip("0").rstrip(".") + f" {unit}B/s"
    return f"{bytes_s} B/s"


def _abort(text: str) -> dict[str, Any]:
    found = _ABORT.fullmatch(text)
    if found is None:
        raise BadPlanError(
            f"{text[:60]!r} is no abort criterion, such as failed > 5 % from 100, or any > 50 % "
            "of the last 20 from 10.",
            "abort",
        )
    on, share, last, sample = found.groups()
    given: dict[str, Any] = {
        "on": on,
        "share_max": float(Fraction(share.replace(",", ".")) / 100),
        "sample_min": int(sample),
    }
    return given if last is None else given | {"last": int(last)}
