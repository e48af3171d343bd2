"""The round: one case lived by a real box, from the call to the verdict, as a desk does it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from oleada_lab.clinic.bed import WATCHED_S, Bed
from oleada_lab.clinic.cases import Case
from oleada_lab.clinic.ward import NEIGHBOURS, VERSIONS, Guest, Ward
from oleada_lab.clock import monotonic_s

ROUNDS: Final = 3
QUESTIONS_A_ROUND: Final = 3
GAIN_BITS_MIN: Final = 0.01
"""Nobody is asked, and no line is tested, for less than this."""
CHECKS_LIMIT_S: Final = 60.0
DEAF_LIMIT_S: Final = 1.0
"""So long a desk waits for a box that has not been heard."""
DISTURBING: Final[dict[str, dict[str, Any]]] = {
    "wifi_scan": {},
    "download_test": {"duration_s": 2, "bytes_max": 1_000_000},
}
"""Checks that are worth a question to the caller first, with their arguments."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one case.

    Attributes:
        at_once: The causes that were likely before anything was checked.
        named: Those that were likely in the end, the first first.
        statuses: How each check ended, by action.
        questions: How many questions were answered.
        seconds: From the call to the verdict.
    """

    case: Case
    at_once: tuple[str, ...]
    named: tuple[str, ...]
    statuses: Mapping[str, str]
    questions: int
    seconds: float
    seen: Mapping[str, bool]


def play(ward: Ward, case: Case, place: int) -> Ended:
    """Let a new real box live *case* in the bed number *place*, and return what was said of it.

    Raises:
        LabError: The box or the server did not do what it must.
    """
    bed = case.bed()
    region = f"Region of {case.seed}" if bed.many == "region" else f"Region {place}"
    guest = ward.admit(bed, region, f"way {case.seed}")
    many: list[str] = []
    try:
        if bed.many:
            many = _let_many_complain(ward, case, bed, region)
        guest.arrive()
        _let_it_happen(guest)
        return _call(guest, case)
    finally:
        guest.leave()
        ward.forget(many)


def _let_many_complain(ward: Ward, case: Case, bed: Bed, region: str) -> list[str]:
    """Let neighbours complain that share what the fault says; return them all."""
    version = bed.version if bed.many == "firmware" else VERSIONS[0]
    prefix = f"MANY{case.seed % 1_000_000:06d}"
    there = ward.neighbours(prefix, NEIGHBOURS, region, version)
    ward.complain(there[:5], case.symptom, bed.channel)
    return there


def _let_it_happen(guest: Guest) -> None:
    """Let the fault have its time, and let the box tell of it, if it still can."""
    bed, patient = guest.bed, guest.patient
    if bed.dark_days:
        _switch_off(guest, timedelta(days=bed.dark_days))
        _start_again(guest)
    for _ in range(bed.cold_boots):
        patient.end()
        patient.start()
        guest.until(patient.is_alive, "the first sign of its agent")
    guest.pass_time(timedelta(seconds=WATCHED_S))
    _show(bed, guest)
    if bed.is_off or bed.is_cut:
        bed.road.is_cut = bed.is_cut
        if bed.is_off:
            patient.end()
        guest.pass_time(timedelta(seconds=bed.silent_s), box_too=True)
        return
    if bed.lie and patient.daemon is not None:
        patient.daemon.lie = bed.lie
    guest.tell_health()


def _show(bed: Bed, guest: Guest) -> None:
    """Let everything be as the fault makes it, at the end of the time."""
    bed.player.readings = {**bed.player.readings, **bed.after}
    bed.player.counts = dict(bed.counts)
    if bed.plays:
        bed.player.watched_s += WATCHED_S
    bed.facts.errors += bed.damaged
    guest.patient.room.write(WATCHED_S)
    if bed.clock_ms:
        guest.patient.room.set_clock(bed.clock_ms)


def _switch_off(guest: Guest, silence: timedelta) -> None:
    guest.patient.end()
    guest.pass_time(silence)


def _start_again(guest: Guest) -> None:
    before = guest.samples()
    guest.patient.start()
    guest.until(lambda: guest.samples() > before, "a health message after the restart")


def _call(guest: Guest, case: Case) -> Ended:
    """Do as the desk: look, begin what nobody notices, ask, and look again."""
    began_s = monotonic_s()
    channel = guest.bed.channel
    first = guest.begin_checks(case.symptom, channel)
    is_deaf = guest.bed.is_off or guest.bed.is_cut
    guest.await_orders(DEAF_LIMIT_S if is_deaf else CHECKS_LIMIT_S)
    asked: dict[str, str] = {}
    last = guest.verdict(case.symptom, channel)
    for _ in range(ROUNDS):
        if not _ask_and_test(guest, last, asked, is_deaf=is_deaf):
            break
        guest.await_orders(DEAF_LIMIT_S if is_deaf else CHECKS_LIMIT_S)
        known = tuple(f"{name}:{word}" for name, word in asked.items() if word)
        last = guest.verdict(case.symptom, channel, known)
    orders = guest.orders()
    return Ended(
        case,
        tuple(first["likely"]),
        tuple(last["likely"]),
        {one["action"]: str(one["status"]) for one in orders},
        sum(bool(word) for word in asked.values()),
        round(monotonic_s() - began_s, 2),
        {one["sign"]: one["holds"] for one in last["seen"]},
    )


def _ask_and_test(guest: Guest, verdict: Any, asked: dict[str, str], *, is_deaf: bool) -> bool:
    """Ask the most telling questions and begin the most telling test; return whether any."""
    wanted = [one for one in verdict["checks"] if one["gain_bits"] >= GAIN_BITS_MIN]
    questions = [
        name
        for one in wanted
        if one["fact"].startswith("asked:")
        and (name := one["fact"].removeprefix("asked:")) not in asked
    ]
    for name in questions[:QUESTIONS_A_ROUND]:
        answer = guest.bed.said.get(name)
        asked[name] = "" if answer is None else "yes" if answer else "no"
    begun = {one["action"] for one in guest.orders()}
    tests = [one["action"] for one in wanted if one["action"] in DISTURBING]
    new = [name for name in dict.fromkeys(tests) if name not in begun and not is_deaf]
    for name in new[:1]:
        more = {"url": guest.web} if name == "download_test" else {}
        guest.order(name, **more, **DISTURBING[name])
    return bool(questions or new)
