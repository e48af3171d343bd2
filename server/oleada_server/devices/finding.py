"""Finding one box by what a person reads out: serial, MAC, device id or the end of one.

The best kind of match wins: the whole text, else its end (the last four characters), else
any part. Look-alikes count as one (O and 0, I, L and 1), blanks and dashes do not count.
"""

from dataclasses import dataclass
from typing import Final

from oleada_wire.ids import normalise_device_id
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from oleada_server.db import db
from oleada_server.devices.models import Device

CHARS_MIN: Final = 3
"""A shorter text would be found in too many boxes to be of use."""
_HEX: Final = frozenset("0123456789ABCDEF")
_MARKS: Final = frozenset(":.- ")


@dataclass(frozen=True, slots=True)
class Found:
    """The boxes of the best kind of match, by id, and whether there are more."""

    devices: list[Device]
    has_more: bool


def find(text: str, limit: int = 10) -> Found:
    """Return the boxes that *text* means, at most *limit*; none for less than three characters."""
    wanted = normalise_device_id(text.strip())
    if len(wanted) < CHARS_MIN:
        return Found([], has_more=False)
    for condition in _conditions(text, wanted):
        query = select(Device).where(condition).order_by(Device.id).limit(limit + 1)
        rows = list(db.session.scalars(query))
        if rows:
            return Found(rows[:limit], len(rows) > limit)
    return Found([], has_more=False)


def _conditions(text: str, wanted: str) -> list[ColumnElement[bool]]:
    """Return what is asked for, best first."""
    serial = spelt_alike(Device.serial)
    whole: list[ColumnElement[bool]] = [Device.id == wanted, serial == wanted]
    end = [Device.id.endswith(wanted, autoescape=True), serial.endswith(wanted, autoescape=True)]
    part = [Device.id.contains(wanted, autoescape=True), serial.contains(wanted, autoescape=True)]
    digits = mac_digits(text)
    if digits:
        mac = func.replace(Device.mac, ":", "")
        whole.append(mac == digits)
        end.append(mac.endswith(digits))
        part.append(mac.contains(digits))
    return [or_(*whole), or_(*end), or_(*part)]


def spelt_alike(column: InstrumentedAttribute[str]) -> ColumnElement[str]:
    """Return *column* in the spelling of :func:`normalise_device_id`."""
    found: ColumnElement[str] = func.upper(column)
    for typed, meant in (("O", "0"), ("I", "1"), ("L", "1"), ("-", ""), (" ", "")):
        found = func.replace(found, typed, meant)
    return found


def mac_digits(text: str) -> str:
    """Return the hexadecimal digits of *text* if it can be of a MAC address, else nothing."""
    spelt = text.upper().strip()
    if set(spelt) - _HEX - _MARKS:
        return ""
    return "".join(c for c in spelt if c in _HEX)
