"""The rules of a plan as its form has them: short texts, each read by itself.

A text that can not be read is named with what was expected; an empty one is no such rule.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from oleada_server.rollouts import rules_text, schedule
from oleada_server.rollouts.cover import cover_text
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.pace import Caps
from oleada_server.rollouts.rules import Rules, rules_from, rules_json
from oleada_server.rollouts.schedule import Schedule
from oleada_server.rollouts.spec import WaveSpec
from oleada_server.web import words

CHARS_MAX: Final = 600
WEEKLY: Final = "weekly"


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise BadPlanError(f"{text[:20]!r} is no whole number of boxes.", "region_max")
    return int(text)


def _reasons(text: str) -> list[str]:
    return [] if text.strip() == "none" else [one.strip() for one in text.split(",") if one.strip()]


def _bandwidth(name: str) -> Callable[[str], int]:
    return lambda text: rules_text.parse_bytes_s(text, name)


_READ: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "rate": ("rate", rules_text.parse_rate),
    "region_max": ("in_flight_max_per_region", _whole),
    "box_bandwidth": ("box_bytes_s", _bandwidth("box_bandwidth")),
    "bandwidth": ("bandwidth_max_bytes_s", _bandwidth("bandwidth")),
    "region_bandwidth": ("bandwidth_max_per_region_bytes_s", _bandwidth("region_bandwidth")),
    "retry": ("retry_for", _reasons),
    "abort": ("abort", rules_text.parse_aborts),
    "back_from": ("back_from", str),
}
"""By field: the rule that it spells, and what reads it; the caps after what one box loads."""
TICKED: Final = ("newcomers", "goes_back")
FIELDS: Final = ("windows", "blackouts", *_READ, *TICKED)


def rules_of(typed: Mapping[str, str], window: str) -> tuple[Rules, list[tuple[str, str]]]:
    """Return the rules that *typed* spells by field, and (field, why) of what does not.

    The windows of the week count only if *window* chooses them.
    """
    wrong: list[tuple[str, str]] = []
    given: dict[str, Any] = {name: True for name in TICKED if typed.get(name)}
    for field, (name, read) in _READ.items():
        if text := typed.get(field, "").strip():
            try:
                given[name] = read(text)
                rules_from({"box_bytes_s": given.get("box_bytes_s", Caps().box_bytes_s),
                            name: given[name]})  # fmt: skip
            except BadPlanError as error:
                given.pop(name, None)
                wrong.append((field, str(error)))
    times = Schedule()
    try:
        if window == WEEKLY:
            times = replace(times, windows=_windows(typed.get("windows", "")))
    except BadPlanError as error:
        wrong.append(("windows", str(error)))
    try:
        found = schedule.parse_blackouts(typed.get("blackouts", ""))
        times = replace(times, blackouts=found)
    except BadPlanError as error:
        wrong.append(("blackouts", str(error)))
    return replace(rules_from(given), schedule=times), wrong


def texts_of(rules: Rules) -> dict[str, str]:
    """Return what the form shows of *rules*, by field."""
    found, caps = rules_json(rules), rules.caps
    speeds = {
        "box_bandwidth": found.get("box_bytes_s"),
        "bandwidth": caps.bandwidth_max_bytes_s,
        "region_bandwidth": caps.bandwidth_max_per_region_bytes_s,
    }
    shown = {name: rules_text.bytes_s_text(speed) for name, speed in speeds.items() if speed}
    limit = caps.in_flight_max_per_region
    return shown | {
        "windows": schedule.windows_text(rules.schedule.windows),
        "blackouts": schedule.blackouts_text(rules.schedule.blackouts),
        "rate": "" if rules.rate is None else rules_text.rate_text(rules.rate),
        "region_max": "" if limit is None else str(limit),
        "retry": ", ".join(found.get("retry_for", ())) or ("none" if "retry_for" in found else ""),
        "abort": rules_text.aborts_text(rules.abort),
        "newcomers": "yes" if rules.newcomers else "",
        "goes_back": "yes" if rules.goes_back else "",
        "back_from": rules.back_from or "",
    }


def whom_text(wave: WaveSpec) -> str:
    """Return what the form shows of whom *wave* takes; nothing for a list, which it has apart."""
    if wave.share_until is not None:
        return percent_text(wave.share_until)
    return "" if wave.device_ids is not None else cover_text(wave.count, wave.where)


def percent_text(share: float) -> str:
    """Return *share* as the form takes it, in the reader's spelling, without a sign."""
    return words.number(float(Decimal(str(share)) * 100))


def _windows(text: str) -> tuple[schedule.WeekWindow, ...]:
    found = schedule.parse_windows(text)
    if not found:
        raise BadPlanError("Write at least one window, such as mon-fri 23:00-05:00.", "windows")
    return found
