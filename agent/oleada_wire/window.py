"""Daily windows in a box's own zone, over midnight and daylight-saving changes.

One function decides for the box, the server's plan and the console's preview.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from oleada_wire.messages import Window


def is_open(window: Window, zone: ZoneInfo, now: datetime) -> bool:
    """Return whether *window* is open at aware *now* for a box in *zone*."""
    local = now.astimezone(zone)
    minute = local.hour * 60 + local.minute
    if window.start_min < window.end_min:
        return window.start_min <= minute < window.end_min
    return minute >= window.start_min or minute < window.end_min


def next_opening(window: Window, zone: ZoneInfo, now: datetime) -> datetime:
    """Return when *window* next is open, *now* if it already is; in *now*'s zone.

    Walks minute by minute over at most two days, so that an hour that is skipped or
    doubled by a daylight-saving change needs no rule of its own.
    """
    at = now
    for _ in range(2 * 24 * 60 + 1):
        if is_open(window, zone, at):
            return at
        at = (at + timedelta(minutes=1)).replace(second=0, microsecond=0)
    raise AssertionError("a daily window opens within two days")
