"""What a box's page warns of beside its verdict: a wrong clock, a flood, a dying certificate."""

from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup

from oleada_server.devices.models import Device
from oleada_server.messaging.models import DeviceExcess
from oleada_server.web import words
from oleada_server.web.words import say

CLOCK_OFF: Final = timedelta(minutes=2)
"""Less is a message that waited a little, or harmless."""
CERTIFICATE_WARN: Final = timedelta(days=14)
FREE_BYTES: Final = "X_OLEADA_FreeBytes"
FREE_BYTES_MIN: Final = 1 << 20
"""As the agent's own ``free_bytes_min``: with less a new slot is not well."""


def troubles(
    device: Device,
    certificate_ends: datetime | None,
    now: datetime,
    excess: DeviceExcess | None = None,
) -> list[Markup]:
    """Return what to know of *device* beside its verdict, in words."""
    found = [
        _of_revocation(device),
        _of_certificate(certificate_ends, now),
        _of_disk(device),
        _of_clock(device),
        _of_excess(excess),
    ]
    return [sentence for sentence in found if sentence is not None]


def _of_revocation(device: Device) -> Markup | None:
    if device.revoked_at is None:
        return None
    return say(
        "This box was revoked, %(when)s: nothing that it holds opens a door, and nothing that it "
        "says is heard. A new claim token makes it one of yours again.",
        when=words.moment(device.revoked_at),
    )


def _of_certificate(ends: datetime | None, now: datetime) -> Markup | None:
    if ends is None or ends - now > CERTIFICATE_WARN:
        return None
    when = words.moment(ends)
    if ends > now:
        return say("The certificate of this box ends %(when)s.", when=when)
    return say(
        "The certificate of this box has expired, %(when)s: it runs on, and gets the next one by "
        "itself when it reaches the device door.",
        when=when,
    )


def _of_disk(device: Device) -> Markup | None:
    free = (device.health or {}).get(FREE_BYTES)
    if not isinstance(free, int) or free >= FREE_BYTES_MIN:
        return None
    return say(
        "The disk of this box is full: %(free)s are free, so it can not begin an update.",
        free=words.size(max(0, free)),
    )


def _of_clock(device: Device) -> Markup | None:
    ahead = timedelta(minutes=round((device.clock_ahead_s or 0) / 60))
    if abs(ahead) < CLOCK_OFF:
        return None
    span = words.duration(abs(ahead))
    if ahead > timedelta():
        return say("The clock of this box is %(span)s ahead.", span=span)
    return say("The clock of this box is %(span)s behind.", span=span)


def _of_excess(excess: DeviceExcess | None) -> Markup | None:
    if excess is None:
        return None
    return say(
        "This box sends too much: %(n)s messages since %(when)s were beyond its quota and were "
        "not kept. What it says of updates is kept.",
        n=words.number(excess.messages),
        when=words.moment(excess.began_at),
    )
