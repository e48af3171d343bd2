"""The lines of the device list: what a page says fifty times is looked up once.

The template writes one line with named places, in the reader's words; here the places of
each box are filled. A template that is run for every cell costs three times as much.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Final
from urllib.parse import quote

from flask import url_for
from markupsafe import Markup

from oleada_server.devices.models import Device
from oleada_server.web import words
from oleada_server.web.health import vitals
from oleada_server.web.serials import group
from oleada_server.web.words import gettext

_ANY_ID: Final = "AAAA00000000"


@dataclass(slots=True)
class Lines:
    """Writes lines for one reader at one moment.

    Attributes:
        skeleton: One line of the table, with ``%(name)s`` where a box differs.
        contacts: The three states of contact as they are drawn, by the names of
            :func:`_contact`.
        silent_before: Whoever was not heard since then is silent.
        now: For ages.
    """

    skeleton: str
    contacts: Mapping[str, str]
    silent_before: datetime
    now: datetime
    _times: dict[datetime, str] = field(default_factory=dict)

    def of(self, devices: Iterable[Device]) -> Markup:
        """Return the lines of *devices*, in order."""
        write = self._writer()
        return Markup("\n".join(write(device) for device in devices))  # noqa: S704 - escaped below

    def _writer(self) -> Callable[[Device], str]:
        before, after = url_for("device_page.show", device_id=_ANY_ID).split(_ANY_ID)
        slots = {letter: gettext("slot %(slot)s", slot=letter) for letter in "AB"}
        not_read, not_yet = _dim(gettext("not by this model")), _dim(gettext("not yet"))

        def write(device: Device) -> str:
            found = vitals(device.health)
            missing = not_read if device.health is not None else not_yet
            seen, read = device.last_seen_at, device.health_at
            return self.skeleton % {
                "href": f"{before}{quote(device.id)}{after}",
                "id": escape(group(device.id)),
                "serial": escape(group(device.serial)),
                "model": escape(device.hardware_model) + _small(device.region),
                "version": _version(device, slots) or not_yet,
                "contact": self.contacts[self._contact(seen)] + self._small_time(seen),
                "chip": missing
                if found.temperature_c is None
                else _hot(f"{words.number(found.temperature_c)} °C", is_hot=found.is_hot),
                "free": missing if found.free_bytes is None else words.size(found.free_bytes),
                "up": missing if found.uptime_s is None else words.duration(found.uptime),
                "read": self._time(read) if read is not None else not_yet,
            }

        return write

    def _contact(self, seen: datetime | None) -> str:
        if seen is None:
            return "never"
        return "silent" if seen < self.silent_before else "heard"

    def _small_time(self, at: datetime | None) -> str:
        return f"<small>{self._time(at)}</small>" if at is not None else ""

    def _time(self, at: datetime) -> str:
        """Return *at* as its age, with the moment behind it; a box's two are often one."""
        if at not in self._times:
            title, age = escape(words.full_moment(at)), escape(words.age(at, self.now))
            self._times[at] = f'<time datetime="{at.isoformat()}" title="{title}">{age}</time>'
        return self._times[at]


def _version(device: Device, slots: Mapping[str, str]) -> str:
    if not device.version:
        return ""
    slot = device.running_slot or ""
    return escape(device.version) + _small(slots.get(slot, slot))


def _small(text: str | None) -> str:
    return f"<small>{escape(text)}</small>" if text else ""


def _dim(text: str) -> str:
    return f'<span class="dim">{escape(text)}</span>'


def _hot(text: str, *, is_hot: bool) -> str:
    return f'<span class="warn-t">{text}</span>' if is_hot else text
