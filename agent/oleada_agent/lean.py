"""Keeps out of a box's memory what its programs name and, at rest, never use.

``dataclasses`` names ``inspect`` and paho names ``urllib.request``; with what those bring
along that is megabytes of code which nobody calls. Each such module is replaced by one
that becomes it when something of it is first touched. ``importlib.util.LazyLoader`` can
not do that: the next ``import`` of the same name already touches it.
Called before the rest of the agent is imported, and by ``run`` alone.
"""

import ctypes
import sys
import threading
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any, Final

DEFERRED: Final = (
    "http.client",
    "inspect",
    "ipaddress",
    "subprocess",
    "tempfile",
    "traceback",
    "urllib.request",
    "uuid",
)
M_ARENA_MAX: Final = -8
"""Of glibc's mallopt(3); musl has none."""
_LOCK: Final = threading.RLock()


class Deferred(ModuleType):
    """Stands for a module until something of it is touched, and is then as good as it."""

    def __getattr__(self, name: str) -> Any:
        """Become the module, and return what it calls *name*.

        Raises:
            AttributeError: it has nothing of that name.
        """
        if name.startswith("__"):  # whoever asks that looks at every module there is
            raise AttributeError(name)
        with _LOCK:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
                self.__dict__.update(vars(import_module(self.__name__)))
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(name) from None


def defer() -> None:
    """Let each of ``DEFERRED`` load itself when it is first used; those that are loaded stay."""
    for name in DEFERRED:
        if name in sys.modules:
            continue
        parent, _, child = name.rpartition(".")
        sys.modules[name] = module = Deferred(name)
        if parent:
            setattr(import_module(parent), child, module)


def share_arenas() -> None:
    """Let all threads take memory from one place: each of its own would keep what it frees."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
