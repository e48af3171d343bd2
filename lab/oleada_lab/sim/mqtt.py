"""What a broker deals with: messages, filters, and whether one matches the other.

Source: MQTT 5.0, 4.7 (topic names and filters) and 4.8 (subscriptions).
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """What is published.

    Attributes:
        payload: Bytes, or in a model without signatures what they would say.
        size_bytes: On the line, headers and all.
        expires_ms: In the world's time; None for never.
    """

    topic: str
    payload: object
    size_bytes: int
    qos: int = 1
    is_retained: bool = False
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way to one client; *mid* is 0 at QoS 0."""

    message: Message
    mid: int
    is_duplicate: bool = False


class Peer(Protocol):
    """The broker's end of one connection."""

    def deliver(self, delivery: Delivery) -> None:
        """Send *delivery* to the client."""
        ...

    def closed(self, why: str) -> None:
        """The broker has ended the connection."""
        ...


class RefusedError(Exception):
    """The broker does not accept this connection now."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One subscription.

    Attributes:
        plain: Without the group of a shared subscription.
        group: The whole text of a shared one, else empty.
    """

    plain: str
    group: str
    qos: int

    def hears(self, topic: str) -> bool:
        """Return whether *topic* matches."""
        return matches(self.plain, topic)


def matches(pattern: str, topic: str) -> bool:
    """Return whether *topic* matches *pattern* with its ``+`` and ``#``."""
    if pattern.endswith("/+") and "+" not in pattern[:-1]:  # what boxes subscribe to
        start = len(pattern) - 1
        return topic.startswith(pattern[:-1]) and "/" not in topic[start:] and "#" not in pattern
    if "+" not in pattern and "#" not in pattern:
        return pattern == topic
    wanted, found = pattern.split("/"), topic.split("/")
    for at, part in enumerate(wanted):
        if part == "#":
            return True
        if at >= len(found) or part not in ("+", found[at]):
            return False
    return len(wanted) == len(found)


def literal(pattern: str) -> str:
    """Return the levels before the first wildcard."""
    kept = []
    for part in pattern.split("/"):
        if part in ("+", "#"):
            break
        kept.append(part)
    return "/".join(kept)


def without_share(pattern: str) -> str:
    """Return *pattern* without the group of a shared subscription."""
    return pattern.split("/", 2)[2] if pattern.startswith("$share/") else pattern
