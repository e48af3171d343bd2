"""Whether the dates of certificates are looked at: only by a clock that may be right.

A box whose clock is wrong could else reach nobody, and nobody could tell it the time.
Everything else about a certificate is checked all the same, and what the box obeys is
signed (identity.judge_time).
"""

import ssl
from collections.abc import Callable

from oleada_agent import identity
from oleada_agent.trust.authority import Authority
from oleada_agent.trust.floor import BEHIND_MAX_MS


class Dates:
    """The judgement for one TLS *context*.

    Args:
        now_ms: The wall clock.

    Attributes:
        is_doubtful: By the wall clock the server's certificate was not valid. Until the server
            has confirmed that clock in this boot, it may as well be wrong itself.
    """

    def __init__(
        self, context: ssl.SSLContext, authority: Authority, now_ms: Callable[[], int]
    ) -> None:
        self._context = context
        self._authority = authority
        self._now_ms = now_ms
        self.is_doubtful = False

    def use(self, context: ssl.SSLContext) -> None:
        """Judge for another *context* from now on."""
        self._context = context
        self.judge()

    def hear(self, detail: str) -> None:
        """Take note of why a connection has ended."""
        # OpenSSL's own words; ssl wraps them in an error whose number tells nothing.
        self.is_doubtful = (
            "certificate has expired" in detail or "certificate is not yet valid" in detail
        )
        self.judge()

    def judge(self) -> None:
        """Let the context look at dates, or not, from now on."""
        now_ms, time = self._now_ms(), self._authority.time
        is_likely = self._authority.floor.is_likely(now_ms) and not time.is_off(BEHIND_MAX_MS)
        is_right = is_likely and (time.is_proven or not self.is_doubtful)
        identity.judge_time(self._context, is_clock_right=is_right, now_ms=now_ms)
