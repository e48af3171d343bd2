"""A box and assignments of which many share a signature: it obeys its own, and nothing else."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from oleada_agent.machine import step
from oleada_agent.machine_events import AssignReceived, Authorised
from oleada_agent.machine_moves import Step
from oleada_agent.machine_states import State
from oleada_wire import bulk, envelope, topics
from oleada_wire.envelope import Signature
from oleada_wire.messages import Assign, Waves
from oleada_wire.topics import Down

from tests.agent.edge.clocks import DEVICE, NOON_MS, Home
from tests.wire.batches import of_a_batch

OTHERS = [f"VX41{number:08d}" for number in range(4)]
TOPIC = topics.down(DEVICE, Down.ASSIGN)


@pytest.fixture
def home() -> Home:
    found = Home(NOON_MS)
    found.connect()
    found.fed.clear()
    return found


def batch_of(home: Home, number: int = 7) -> dict[str, bytes]:
    """Return assignments *number* for the box and its neighbours, sealed together, by box."""
    everybody = [*OTHERS[:2], DEVICE, *OTHERS[2:]]
    said = [
        Assign(replace(home.header(), id=f"{n:032x}"), box, number, home.assignment())
        for n, box in enumerate(everybody)
    ]
    sealed = bulk.seal_many(said, [home.repository.director])
    return dict(zip(everybody, sealed, strict=True))


def signature_of(data: bytes) -> tuple[bytes, Signature]:
    body, [found] = envelope.parts("assign", json.loads(data))
    return body, found


def test_a_box_takes_its_own_assignment_out_of_a_batch(home: Home) -> None:
    home.inbound.take(TOPIC, batch_of(home)[DEVICE])

    assert home.fed == [AssignReceived(7, home.assignment())]
    assert home.inbound.refused == {}


def test_one_that_comes_before_the_metadata_is_taken_up_with_it() -> None:
    home = Home(NOON_MS)
    home.inbound.take(TOPIC, batch_of(home)[DEVICE])
    assert home.fed == []

    home.connect()

    assert AssignReceived(7, home.assignment()) in home.fed


def own_by_another_path(sealed: dict[str, bytes]) -> bytes:
    """The path of a neighbour under the box's own message."""
    body, signature = signature_of(sealed[DEVICE])
    place = signature_of(sealed[OTHERS[0]])[1].place
    return envelope.spell("assign", body, [signature._replace(place=place)])


def neighbours(sealed: dict[str, bytes]) -> bytes:
    """A neighbour's whole envelope, on the box's topic."""
    return sealed[OTHERS[1]]


def changed(sealed: dict[str, bytes]) -> bytes:
    """The neighbour's message with the box's name in it, under the neighbour's path."""
    body, signature = signature_of(sealed[OTHERS[1]])
    return envelope.spell("assign", body.replace(OTHERS[1].encode(), DEVICE.encode()), [signature])


def cut(sealed: dict[str, bytes]) -> bytes:
    """A path without its last hash: as if the root were further down."""
    body, signature = signature_of(sealed[DEVICE])
    assert signature.place is not None
    place = signature.place._replace(path=signature.place.path[:-32])
    return envelope.spell("assign", body, [signature._replace(place=place)])


def respelt(sealed: dict[str, bytes]) -> bytes:
    """The same words with blanks between them."""
    return json.dumps(json.loads(sealed[DEVICE])).encode()


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (own_by_another_path, "bad-signature"),
        (neighbours, "bad-signature"),
        (changed, "bad-signature"),
        (cut, "bad-batch"),
        (respelt, "bad-batch"),
    ],
)
def test_what_else_can_be_made_of_a_batch_is_refused_and_told(
    attack: Callable[[dict[str, bytes]], bytes], code: str, home: Home
) -> None:
    home.inbound.take(TOPIC, attack(batch_of(home)))

    assert home.fed == []
    assert home.inbound.refused == {code: 1}


def test_an_older_batch_does_nothing_again(home: Home) -> None:
    older, newer = batch_of(home, 7)[DEVICE], batch_of(home, 8)[DEVICE]
    for data in (older, newer, older):
        home.inbound.take(TOPIC, data)

    assert [one.assignment_seq for one in home.fed if isinstance(one, AssignReceived)] == [7, 8, 7]
    first, second, again = home.fed
    after = step(step(State(), first, NOON_MS).state, second, NOON_MS).state
    assert after.assignment_seq == 8
    assert step(after, again, NOON_MS) == Step(after)


def test_no_wave_is_believed_because_of_a_batch(home: Home) -> None:
    """Whoever signs waves reads them; a root has nothing to read."""
    wave = replace(home.wave(), wave_id=77)
    sealed = of_a_batch(wave, *home.repository.approvers)

    error = home.authority.accept_waves(Waves(home.header(), (sealed.decode(),)))

    assert error is not None
    assert error.code == "bad-batch"
    assert home.decide(wave_id=77) != Authorised("A-20418", 1)
