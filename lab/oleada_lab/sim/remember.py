"""Equal bytes and equal keys give an equal verdict: a fleet works each out once.

A hundred boxes read the same metadata and the same waves, each on its own in life, and so do
the boxes of a sweep after each cut. While a story with signatures is played, or swept, what
the agent's pure readers answered is kept by their arguments; a refusal is worked out anew
each time. The agent itself remembers nothing.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any, Final

from oleada_agent.boot import control
from oleada_agent.trust import keys, reading
from oleada_wire import messages
from oleada_wire.envelope import RoleKeys
from oleada_wire.messages import Meta, Waves

KEPT: Final = 2_000
"""Answers of each reader; a story of months has fewer that are asked for again."""
READERS: Final = ("root", "timestamp", "snapshot", "targets")
SHARED: Final = (Meta, Waves)
"""Plain messages to a whole model; what is for one box is read by that box alone."""


@contextmanager
def remembering() -> Iterator[None]:
    """Keep what the readers of metadata and messages answer, until the end of the block."""
    places: list[tuple[Any, str, Callable[[Any], Any]]] = [
        *((reading, name, lru_cache(KEPT)) for name in READERS),
        (keys.Key, "is_signed", lru_cache(KEPT)),
        (control, "decode", lru_cache(KEPT)),
        (messages, "open_message", _by_role),
        (messages, "decode", _of_models),
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in places]
    for place, name, keep in places:
        setattr(place, name, keep(getattr(place, name)))
    try:
        yield
    finally:
        for place, name, found in before:
            setattr(place, name, found)


def _by_role(open_message: Callable[..., Any]) -> Callable[..., Any]:
    """Return *open_message* that remembers by bytes and by the keys of the role."""
    kept: dict[Hashable, Any] = {}

    @wraps(open_message)
    def remembered(shape: type, data: bytes, role: RoleKeys) -> Any:
        public = sorted((name, key.public_bytes_raw()) for name, key in role.keys.items())
        asked = (shape, data, role.threshold, tuple(public))
        if asked not in kept:
            kept[asked] = open_message(shape, data, role)
        return kept[asked]

    return remembered


def _of_models(decode: Callable[..., Any]) -> Callable[..., Any]:
    """Return *decode* that remembers what is told to every box of a model."""
    remembered = lru_cache(KEPT)(decode)

    @wraps(decode)
    def chosen(shape: type, *rest: Any) -> Any:
        return remembered(shape, *rest) if shape in SHARED else decode(shape, *rest)

    return chosen
