"""What people do to a real rollout: over REST, again and again until they are answered.

A person whose answer was lost asks again under the same key, so nothing happens twice.
Asks in the lab's own thread, once each time it is told to.
"""

from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from oleada_server.client import Client, NoServerError, RefusedError


class People:
    """Deeds that wait for an answer, one after the other.

    Attributes:
        refused: What the server said when it refused for good.
        rollout: Such as ``R-7``; empty before there is one.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: deque[tuple[str, Any, str, Callable[[Any], None]]] = deque()
        self._numbers = 0
        self.refused: list[str] = []
        self.rollout = ""

    @property
    def is_waiting(self) -> bool:
        """Whether somebody still waits for an answer."""
        return bool(self._waiting)

    def plan_and_start(self, body: dict[str, Any]) -> None:
        """Plan a rollout as *body* says, and start it."""

        def planned(made: Any) -> None:
            self.rollout = str(made["id"])
            self._deed("start", {})

        self._ask("/api/v1/rollouts", body, planned)

    def do(self, deed: str) -> None:
        """Do *deed* to the rollout: ``pause``, ``resume``, ``stop`` or ``retry``."""
        self._deed(deed, {"reason": f"somebody wanted to {deed}"})

    def turn(self) -> None:
        """Ask once whatever waits longest."""
        if not self._waiting:
            return
        path, body, key, then = self._waiting[0]
        path = path.format(rollout=self.rollout)
        try:
            answer = self._client.post(path, body, idempotency_key=key)
        except NoServerError:
            return
        except RefusedError as error:
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return
            self._waiting.popleft()
            self.refused.append(f"{path}: {error}")
        else:
            self._waiting.popleft()
            then(answer)

    def _deed(self, deed: str, body: dict[str, Any]) -> None:
        self._ask(f"/api/v1/rollouts/{{rollout}}/{deed}", body, lambda _: None)

    def _ask(self, path: str, body: Any, then: Callable[[Any], None]) -> None:
        self._waiting.append((path, body, self._key(), then))

    def _key(self) -> str:
        self._numbers += 1
        return f"deed-{self._numbers}"
