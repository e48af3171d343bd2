"""Every action of the table, ordered over REST and done by a real box: what it said and touched.

One box does all of them, another one's own settings deny them, two people order the factory
reset, a long action is cancelled, and what is out of its limits is refused. What came back
is compared with the table: only its results, of its kinds, and its files, whole.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from random import Random
from typing import Any, Final

from oleada_server.actions.rules import BY_PEOPLE
from oleada_server.client import Client, RefusedError
from oleada_wire.action_table import TABLE
from oleada_wire.actions import Action, Consent, Needs, find

from oleada_lab.clinic import secrecy
from oleada_lab.clinic.bed import Bed, crowd, healthy
from oleada_lab.clinic.street import ECHO_PORT
from oleada_lab.clinic.ward import Guest, Ward
from oleada_lab.clock import monotonic_s
from oleada_lab.errors import LabError

LAST: Final = ("reboot", "factory_reset")
PEOPLE: Final = ("first", "second")
SCOPES: Final = ("actions:read", "actions:destroy", "audit:read", "devices:read")
_INDEX: Final = re.compile(r"\.\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one action.

    Attributes:
        took_s: From the order to the result, as REST has them.
        parts: How often REST showed more of it before its end.
        strange: Results that the table does not have for it, or of another kind.
        files: By name, whether what came is what the box said.
        player: The media player was asked to do it.
    """

    action: str
    status: str
    error: str
    took_s: float
    results: tuple[str, ...]
    strange: tuple[str, ...]
    files: Mapping[str, bool]
    player: bool

    def problems(self, action: Action) -> list[str]:
        """Return what is not as *action* of the table says, in sentences."""
        found = []
        if self.status != "Complete":
            found.append(f"{self.action} ended with {self.status} ({self.error})")
        if self.strange:
            found.append(f"{self.action} tells {', '.join(self.strange)}, unknown to the table")
        is_text = action.name == "log_pull" and bool(self.error)  # a file only if it is asked for
        if (set(self.files) != set(action.files) and not is_text) or not all(self.files.values()):
            found.append(f"{self.action} brought {dict(self.files)} and not {action.files}")
        if action.results and not self.results:
            found.append(f"{self.action} tells nothing")
        if self.player is not (action.needs is Needs.MEDIA):
            found.append(f"{self.action}: the media player was asked: {self.player}")
        return found


def given(guest: Guest) -> dict[str, dict[str, Any]]:
    """Return by action what is asked of the box in the ward, where it needs something."""
    return {
        "ip_ping": {"host": "house.test", "repetitions": 2},
        "traceroute": {"host": "house.test"},
        "dns_lookup": {"host": "house.test"},
        "download_test": {"url": guest.web, "duration_s": 1, "bytes_max": 400_000},
        "upload_test": {"url": guest.web, "bytes": 200_000},
        "udp_echo": {"host": "127.0.0.1", "port": ECHO_PORT, "repetitions": 5},
        "packet_capture": {"interface": "lo", "duration_s": 2, "packets_max": 20},
        "log_pull": {"lines": 200},
        "config_set": {"name": "keepalive_s", "value": "90"},
        "keys": {"keys": "OK BACK"},
        "tune": {"channel": "ch-2"},
        "channel_test": {"duration_s": 2},
        "hdmi_mode": {"mode": "720p50", "back_after_s": 0},
        "audio_mode": {"mode": "pcm"},
        "message": {"text": "Hello"},
    }


def a_bed(seed: str) -> Bed:
    """Return a home in which every action has something to find."""
    dice = Random(seed)
    bed = healthy(dice)
    bed.facts = replace(bed.facts, on_wifi=True)
    crowd(bed, dice, 3)
    bed.player.readings = {}
    return bed


def do_all(guest: Guest, only: Sequence[str] = ()) -> list[Done]:
    """Let the box do every action that people may order, or *only* these; no restart.

    Raises:
        LabError: An order does not end.
    """
    every = [action.name for action in BY_PEOPLE if action.name not in LAST]
    names = [name for name in every if not only or name in only]
    return [*(do(guest, name) for name in names), do(guest, "log_pull", as_file=True)]


def do(guest: Guest, name: str, **more: Any) -> Done:
    """Order one action as somebody whom the caller has said yes to; return what became of it.

    Raises:
        LabError: It does not end.
    """
    action = _known(name)
    before = len(guest.patient.player.done)
    consent = "viewer" if action.consent is Consent.VIEWER else "none"
    made = guest.order(name, consent, **{**given(guest).get(name, {}), **more})
    return _done(guest, action, ended(guest, made["id"]), before)


def ended(guest: Guest, order_id: str) -> Any:
    """Return the order when it has ended.

    Raises:
        LabError: It does not.
    """
    found: Any = {}

    def is_over() -> bool:
        found.update(guest.ward.client.get(f"/api/v1/actions/{order_id}"))
        return found["state"] not in ("waiting", "running")

    guest.until(is_over, f"the end of action {order_id}")
    return found


def refusals(guest: Guest, denying: Guest) -> dict[str, str]:
    """Return by case the code with which what may not be done is refused; ``""`` if it is not."""
    viewer = [action.name for action in TABLE if action.consent is Consent.VIEWER]
    found = {
        f"{name} without consent": code_of(partial(_order, guest, name))
        for name in viewer
        if name not in LAST
    }
    return found | {
        "an action of no table": code_of(lambda: guest.order("rm_rf")),
        "an argument beyond its limit": code_of(
            lambda: guest.order("ip_ping", host="house.test", repetitions=51)
        ),
        "an argument of no action": code_of(lambda: guest.order("ping", host="house.test")),
        "denied by the box's own settings": code_of(lambda: denying.order("self_test")),
        "cancel, which is no order": code_of(lambda: guest.order("cancel", cmd_id="x")),
    }


def cancelled(guest: Guest) -> Any:
    """Begin a long action, see that it runs, cancel it, and return how it ended.

    Raises:
        LabError: It does not begin, or does not end.
    """
    arguments: dict[str, Any] = {"host": "house.test", "repetitions": 50, "interval_ms": 1000}
    made = guest.order("ip_ping", "none", **arguments)

    def is_under_way() -> bool:
        found = guest.ward.client.get(f"/api/v1/actions/{made['id']}")
        return bool(found["done_share"])

    guest.until(is_under_way, "progress of a long ping")
    guest.ward.client.post(f"/api/v1/actions/{made['id']}/cancel", {})
    return ended(guest, made["id"])


def factory_reset(guest: Guest) -> dict[str, Any]:
    """Let two people order a factory reset; return how each step went.

    Raises:
        LabError: It does not end.
    """
    ward = guest.ward
    first, second = (_person(ward, name) for name in PEOPLE)
    before = guest.patient.booted()
    body = {"action": "factory_reset", "reason": "the box is given back"}
    asked = first.post(f"/api/v1/devices/{guest.device_id}/actions", body)["asked"]
    alone = code_of(lambda: first.post(f"/api/v1/asked/{asked}/confirm"))
    code = code_of(lambda: second.post(f"/api/v1/asked/{asked}/confirm"))
    if code:
        raise LabError(f"The second person may not confirm a factory reset: {code}.")
    newest = next(one for one in guest.orders() if one["action"] == "factory_reset")
    end = ended(guest, newest["id"])
    guest.until(lambda: guest.patient.booted() not in (None, before), "the restart")
    return {
        "who_asked_confirms": alone, "second_person": code, "status": end["status"],
        "confirmed_by": end["confirmed_by"], "restarted": True,
    }  # fmt: skip


def _person(ward: Ward, name: str) -> Client:
    """Return REST with the rights of a new operator."""
    server = ward.house.operator.server
    server.run("user", "add", name, "--role", "operator")
    words = [word for scope in SCOPES for word in ("--scope", scope)]
    return Client(ward.client.url, server.run("user", "token", name, *words).split()[-1])


def table(ward: Ward, only: Sequence[str] = ()) -> dict[str, Any]:
    """Return what every action did, or *only* these, and what is not as the table says.

    Raises:
        LabError: A box does not arrive, or an order does not end.
    """
    began_s = monotonic_s()
    guest = ward.admit(a_bed("actions"), "Region A", "actions")
    denying = ward.admit(a_bed("denying"), "Region A", "denying")
    denying.patient.add_settings({"denied_actions": ["self_test", "reboot"]})
    try:
        for one in (guest, denying):
            one.arrive()
        secrets = secrecy.plant(guest)
        done = do_all(guest, only)
        log_arrived = any(secrecy.KEPT_LINE in one["output"] for one in guest.orders())
        refused = refusals(guest, denying)
        end = cancelled(guest)
        rebooted = _reboot(guest)
        reset = factory_reset(guest)
    finally:
        for one in (guest, denying):
            one.leave()
    leaked = secrecy.found(ward.house.operator.server.data_dir, secrets)
    found = [*done, rebooted]
    wrong = [line for one in found for line in one.problems(_known(one.action))]
    wrong += [f"{case} is done" for case, code in refused.items() if not code]
    if end["status"] != "Canceled":
        wrong.append(f"a cancelled action ended with {end['status']}")
    if not reset["who_asked_confirms"] or reset["second_person"] or reset["status"] != "Complete":
        wrong.append(f"the factory reset went otherwise: {reset}")
    wrong += leaked if log_arrived else [*leaked, "no line of the log arrived"]
    return {
        "secrets": {"planted": len(secrets), "found": leaked},
        "actions": {one.action: _row(one) for one in found},
        "refused": refused,
        "cancelled": {"status": end["status"], "done_share": end["done_share"]},
        "factory_reset": reset,
        "wrong": wrong,
        "seconds": round(monotonic_s() - began_s, 1),
    }


def code_of(act: Callable[[], Any]) -> str:
    """Return the code with which the server refuses *act*; empty if it does it."""
    try:
        act()
    except RefusedError as error:
        return error.code
    return ""


def _reboot(guest: Guest) -> Done:
    before = guest.patient.booted()
    found = do(guest, "reboot", when_idle=False)
    guest.until(lambda: guest.patient.booted() not in (None, before), "the restart")
    samples = guest.samples()
    guest.patient.begin_player()
    guest.until(lambda: guest.samples() > samples, "health after the restart")
    return found


def _order(guest: Guest, name: str) -> Any:
    return guest.order(name, **given(guest).get(name, {}))


def _known(name: str) -> Action:
    found = find(TABLE, name)
    if found is None:
        raise LabError(f"There is no action {name}.")
    return found


def _done(guest: Guest, action: Action, end: Any, before: int) -> Done:
    fields = {one.name: one.kind for one in action.results}
    is_open = any("{name}" in name or "{path}" in name for name in fields)
    strange = [
        name
        for name, value in end["values"].items()
        if not is_open and type(value) is not fields.get(name, fields.get(_spelt(name)))
    ]
    asked = [what for what, _ in guest.patient.player.done[before:]]
    return Done(
        action.name,
        str(end["status"]),
        str(end["error"] or end["output"]),
        _took_s(end),
        tuple(sorted({_spelt(name) for name in end["values"]})),
        tuple(strange),
        {one["name"]: bool(one["is_whole"]) for one in end["files"]},
        action.name in asked,
    )


def _spelt(name: str) -> str:
    return _INDEX.sub(".{i}", name)


def _took_s(end: Any) -> float:
    asked, over = (datetime.fromisoformat(end[name]) for name in ("asked_at", "ended_at"))
    return round((over - asked).total_seconds(), 3)


def _row(one: Done) -> dict[str, Any]:
    return {
        "status": one.status, "took_s": one.took_s, "results": list(one.results),
        "files": dict(one.files),
    }  # fmt: skip
