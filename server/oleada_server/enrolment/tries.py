"""How often one may try in vain to enrol: buckets in constant memory; pure.

Whoever has a good token is never stopped by others: only vain tries are counted, by the
network they come from, and repeated ones by their token. The buckets are slots of a fixed
table that a secret hash chooses, so that a flood from a million addresses costs no more
memory than one, and nobody can aim at a neighbour's slot.
"""

import hashlib
import ipaddress
import math
import secrets
import threading
from array import array
from typing import Final

SLOTS: Final = 4096
IPV6_PREFIX: Final = 64
"""The network that one household or one attacker is given (RFC 6177)."""


class Tries:
    """Vain tries of everybody; safe for threads.

    Args:
        per_minute: Tries that one name may have a minute, and as many at once.
        slots: Of the table; two names in one slot share their tries.
    """

    def __init__(self, per_minute: int, slots: int = SLOTS) -> None:
        self._each_s = 60.0 / per_minute
        self._empty_until = array("d", bytes(8 * slots))
        self._secret = secrets.token_bytes(16)
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """The memory of the table, whoever tries."""
        return self._empty_until.itemsize * len(self._empty_until)

    def count(self, name: str, now_s: float) -> int:
        """Count a try of *name*; return 0, or in how many seconds the next one is looked at."""
        slot = self._slot(name)
        with self._lock:
            # Should the clock have been put back, nobody waits longer than a minute for it.
            held_s = min(max(self._empty_until[slot], now_s), now_s + 60.0)
            until_s = held_s + self._each_s
            is_too_often = until_s - now_s > 60.0
            self._empty_until[slot] = held_s if is_too_often else until_s
            if is_too_often:
                return max(1, math.ceil(until_s - now_s - 60.0))
        return 0

    def _slot(self, name: str) -> int:
        digest = hashlib.blake2b(name.encode(), digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "big") % len(self._empty_until)


def network_of(address: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    mapped = found.ipv4_mapped
    if mapped is not None:
        return str(mapped)
    return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))
