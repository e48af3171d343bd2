"""Looks at a box go out together when the server reads that, and none is lost on the way."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_agent import bundles, outbox, stamp
from oleada_agent.disk import RealDisk
from oleada_agent.outbox import DiskOutbox, Stamp
from oleada_wire import messages
from oleada_wire.ids import BootId
from oleada_wire.looks import LOOKS_MAX, Parameters, Samples, whole
from oleada_wire.messages import Header, Health
from oleada_wire.topics import Up

from tests.agent.edge.test_outbox import BOOT, UPDATED, Box, a_health, an_ack

READS = ("samples",)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def greeted(box: Box, reads: tuple[str, ...] = READS) -> DiskOutbox:
    kept = box.start()
    kept.greet(reads)
    return kept


def looking(parameters: Parameters, head: str | None = None) -> Callable[[Header], Health]:
    return lambda header: replace(a_health(header), parameters=parameters, audit_head=head)


def put(kept: DiskOutbox, *uptimes: int, is_held: bool = False) -> None:
    for uptime in uptimes:
        kept.put_health(looking({"up": uptime, "model": "same"}), is_held=is_held)


def bundle(kept: DiskOutbox) -> Samples:
    [(kind, data)] = kept.due()
    assert kind is Up.SAMPLES
    return messages.decode(Samples, data)


def kinds(kept: DiskOutbox) -> list[Up]:
    return [kind for kind, _ in kept.due()]


def test_looks_go_out_as_one_message_that_says_only_what_has_changed(box: Box) -> None:
    kept = greeted(box)
    kept.put_health(looking({"up": 1, "model": "same"}, "a head"))
    put(kept, 2, 3)

    found = bundle(kept)

    assert [look.changed for look in found.looks] == [
        {"up": 1, "model": "same"}, {"up": 2}, {"up": 3},
    ]  # fmt: skip
    assert (found.header.boot, found.header.seq, found.audit_head) == (BOOT, 3, "a head")
    assert kept.due() == []


def test_an_acknowledgement_of_the_message_removes_each_look_in_it(box: Box) -> None:
    kept = greeted(box)
    put(kept, 1, 2, 3)
    found = bundle(kept)
    put(kept, 4)

    kept.acknowledge(an_ack(found.header.id))

    assert len(kept) == len(box.start()) == 1
    assert [look.seq for look in bundle(kept).looks] == [4]


def test_a_server_that_has_not_said_so_is_told_as_ever(box: Box) -> None:
    kept = greeted(box, ())
    put(kept, 1, 2)

    assert kinds(kept) == [Up.HEALTH] * 2


def test_a_look_that_is_held_waits_for_one_that_is_not(box: Box) -> None:
    kept = greeted(box)
    put(kept, 1, 2, is_held=True)
    assert (kept.due(), kept.next_due_ms()) == ([], None)

    kept.put_report(UPDATED)
    assert kinds(kept) == [Up.REPORT], "a verdict waits for no look"
    put(kept, 3)

    assert [look.seq for look in bundle(kept).looks] == [1, 2, 4]


def test_what_was_held_goes_out_after_a_restart(box: Box) -> None:
    put(greeted(box), 1, 2, is_held=True)

    kept = greeted(box)

    assert [one["up"] for one in whole(bundle(kept).looks)] == [1, 2]


def test_looks_wait_for_the_server_s_greeting_and_verdicts_do_not(box: Box) -> None:
    kept = greeted(box)
    kept.await_greeting()
    put(kept, 1)
    kept.put_report(UPDATED)

    assert kinds(kept) == [Up.REPORT]
    pause_ms = kept.next_due_ms()
    assert pause_ms is not None
    assert pause_ms >= outbox.RESEND_MS, "nobody is woken for what waits"
    kept.greet(())
    assert kinds(kept) == [Up.HEALTH]


def test_what_no_server_has_acknowledged_twice_is_told_as_any_server_reads_it(box: Box) -> None:
    kept = greeted(box)
    put(kept, 1, 2)

    sent = []
    for _ in range(3):
        sent.append(kinds(kept))
        pause_ms = kept.next_due_ms()
        assert pause_ms is not None
        box.clock.ms += pause_ms + outbox.RESEND_MORE.max_ms

    assert sent == [[Up.SAMPLES], [Up.SAMPLES], [Up.HEALTH] * 2]


def test_a_message_of_looks_that_is_refused_is_told_look_by_look(box: Box) -> None:
    kept = greeted(box)
    put(kept, 1, 2)
    found = bundle(kept)

    kept.acknowledge(an_ack(refused=(found.header.id,)))

    told = kept.due()
    assert [kind for kind, _ in told] == [Up.HEALTH] * 2
    first = messages.decode(Health, told[0][1])
    kept.acknowledge(an_ack(refused=(first.header.id,)))
    assert len(kept) == 1


def test_an_acknowledgement_after_a_restart_loses_nothing(box: Box) -> None:
    kept = greeted(box)
    put(kept, 1, 2)
    found = bundle(kept)

    again = greeted(box)
    again.acknowledge(an_ack(found.header.id))

    assert bundle(again).looks == found.looks


def test_looks_of_two_boots_are_two_messages(box: Box) -> None:
    put(greeted(box), 1)
    disk = RealDisk(box.path)
    later = Stamp(disk, BootId(8, "ffffffff"), lambda: 5, lambda: f"{next(box.ids):032x}")
    kept = DiskOutbox(disk, later, box.clock)
    kept.greet(READS)
    put(kept, 2)

    found = [messages.decode(Samples, data) for _, data in kept.due()]

    assert [str(one.header.boot) for one in found] == [str(BOOT), "00000008-ffffffff"]


@pytest.mark.parametrize("text", ["", "1"])
def test_numbers_that_come_twice_because_the_flash_lost_them_stop_nobody(
    box: Box, text: str
) -> None:
    put(greeted(box), 1, 2, 3)
    (box.path / stamp.COUNTERS).write_text(text)
    kept = greeted(box)
    put(kept, 4, 5)

    found = [messages.decode(Samples, data) for _, data in kept.due()]

    numbers = [[look.seq for look in one.looks] for one in found]
    assert numbers == [[1, 2, 3], [1, 2] if not text else [2, 3]]


def test_a_whole_night_of_looks_is_one_place_in_flight(box: Box) -> None:
    kept = greeted(box)
    put(kept, *range(LOOKS_MAX + 6))
    first = kept.due()

    assert [len(messages.decode(Samples, data).looks) for _, data in first] == [LOOKS_MAX, 6]
    kept.put_report(UPDATED)
    assert kinds(kept) == [Up.REPORT], "twenty messages may be under way, and these are two"


def test_looks_that_are_too_large_together_go_in_parts(box: Box) -> None:
    kept = greeted(box)
    for number in range(6):
        kept.put_health(looking({f"{number}-{n}": "x" * 100 for n in range(200)}))

    found = [messages.decode(Samples, data) for _, data in kept.due()]

    assert [len(one.looks) for one in found] == [1, 2, 1, 2]
    told = [one for message in found for one in whole(message.looks)]
    assert [min(one) for one in told] == [f"{number}-0" for number in range(6)]


def test_bundles_that_nobody_acknowledges_are_forgotten_in_the_end(box: Box) -> None:
    kept = greeted(box)
    for number in range(bundles.REMEMBERED_MAX + 10):
        put(kept, number)
        kept.forget_sent()
        kept.due()

    assert len(kept._bundles._inside) == bundles.REMEMBERED_MAX
