"""The person of chaos: plans and starts a rollout over REST, and looks at it all the time.

Asks in a thread of its own, with idempotency keys, and asks again after every lost
answer, as a program of an operator would.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from oleada_server.client import Client, NoServerError, RefusedError

from oleada_lab.clock import monotonic_s

AGAIN_S: Final = 0.3
LOOK_S: Final = 2.0
LIMIT_S: Final = 120.0
FIRST_WAVE_SHARE: Final = 0.3
LIMITS: Final[Mapping[str, Any]] = {
    "soak_s": 1,
    "sample_min": 1,
    "success_share_min": 0.3,
    "failed_share_max": 1.0,
    "silent_share_max": 0.5,
}
"""Wide, because some boxes are planned to roll back and no wave may wait for a person."""


def first_wave(boxes: int) -> int:
    """Return how many of *boxes* the first wave takes."""
    return max(1, int(boxes * FIRST_WAVE_SHARE))


def plan(model: str, version: str, device_ids: Sequence[str]) -> dict[str, Any]:
    """Return the plan of one rollout in two waves, as REST takes it."""
    cut = first_wave(len(device_ids))
    waves = (("First", device_ids[:cut]), ("Everyone", device_ids[cut:]))
    return {
        "hardware_model": model,
        "version": version,
        "name": f"{model} {version}",
        "waves": [{"name": name, "device_ids": list(ids), **LIMITS} for name, ids in waves if ids],
        "spread_s": 2,
        "lease_s": 60,
        "in_flight_max": max(2, len(device_ids) // 2),
        "silent_after_s": 900,
        "evidence": None,
    }


class Person:
    """Starts one rollout and watches its page until told to stop.

    Attributes:
        number: Of the rollout (``R-<number>``); None until the server has said so.
        answers: How often each was heard: a status, or ``unreachable``.
        refused: What the server said when it refused for good; empty when it did not.
    """

    def __init__(self, client: Client, body: dict[str, Any], key: str) -> None:
        self.number: int | None = None
        self.answers: Counter[str] = Counter()
        self.refused = ""
        self._client = client
        self._body = body
        self._key = key
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="person", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        made = self._insist("/api/v1/rollouts", self._body, f"{self._key}-create")
        if made is None:
            return
        path = f"/api/v1/rollouts/{made['id']}"
        if self._insist(f"{path}/start", None, f"{self._key}-start") is None:
            return
        self.number = int(str(made["id"]).removeprefix("R-"))
        while not self._stopping.wait(LOOK_S):
            self._ask(lambda: self._client.get(path))

    def _insist(self, path: str, body: Any, key: str) -> Any:
        """Post until there is an answer; None when the server refuses or time is over."""
        end_s = monotonic_s() + LIMIT_S
        while monotonic_s() < end_s and not self.refused:
            found = self._ask(lambda: self._client.post(path, body, idempotency_key=key))
            if found is not None:
                return found
            if self._stopping.wait(AGAIN_S):
                return None
        return None

    def _ask(self, question: Callable[[], Any]) -> Any:
        """Return the answer to *question*; None when there was none, or a refusal."""
        try:
            found = question()
        except RefusedError as error:
            self.answers[str(error.status)] += 1
            if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                self.refused = str(error)
            return None
        except NoServerError:
            self.answers["unreachable"] += 1
            return None
        self.answers["200"] += 1
        return found
