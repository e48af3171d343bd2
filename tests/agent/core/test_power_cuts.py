"""Plugs pulled in a trial; the cut after each operation is the sweep's (tests/lab/sweep)."""

import pytest
from oleada_agent.boot.choice import Behaviour
from oleada_agent.machine_events import AssignReceived, Event
from oleada_agent.machine_states import Idle
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import PowerCutError
from oleada_wire.words import Phase, Reason

from tests.agent.core.sim_box import (
    SimBox,
    SimServer,
    a_box,
    an_assignment,
    an_image,
)

VERSION = "1.1.0"
IMAGE = an_image(VERSION)
OFFER = AssignReceived(1, an_assignment(IMAGE, VERSION))
BEHAVIOURS = (Behaviour.GOOD, Behaviour.UNHEALTHY, Behaviour.HANG)
ENDINGS = {
    Behaviour.GOOD: (Phase.UPDATED, None),
    Behaviour.UNHEALTHY: (Phase.ROLLED_BACK, Reason.HEALTH_CHECK),
    Behaviour.HANG: (Phase.ROLLED_BACK, Reason.UNBOOTABLE),
}


def a_home(behaviour: Behaviour) -> SimBox:
    return a_box(SimServer(images={OFFER.assignment.sha256: IMAGE}), behaviour)  # type: ignore[union-attr]


def check_ending(box: SimBox, behaviour: Behaviour) -> None:
    """Check that the box has come to rest where *behaviour* must lead, and told it once."""
    phase, reason = ENDINGS[behaviour]
    assert box.shell is not None
    state = box.shell.state
    assert state.stage == Idle()
    assert state.running.successful
    good = behaviour is Behaviour.GOOD
    assert (state.running.slot, state.running.version) == (
        ("B", VERSION) if good else ("A", "1.0.0")
    )
    assert state.security_floor == (2 if good else 1)
    assert [(v.phase, v.reason) for v in box.server.verdicts()] == [(phase, reason)]
    assert state.quarantined == (() if good else (OFFER.assignment.sha256,))  # type: ignore[union-attr]
    left = [name for name in box.disk.list("data") if name.endswith((".tmp", ".broken"))]
    assert left == []


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_an_undisturbed_update_ends_as_the_image_deserves(behaviour: Behaviour) -> None:
    box = a_home(behaviour)

    box.power_on(OFFER)

    check_ending(box, behaviour)
    assert box.server.fetched_bytes == len(IMAGE)


class ImpatientHome(SimBox):
    """A box whose viewer pulls the plug whenever a trial begins, *pulls_left* times."""

    pulls_left = 0

    def start_trial(self, assignment_id: str, attempt: int) -> None:
        """Pull the plug, or let the trial begin."""
        if self.pulls_left > 0:
            self.pulls_left -= 1
            raise PowerCutError
        super().start_trial(assignment_id, attempt)


def pull_until_quiet(box: SimBox, *first: Event) -> None:
    """Give *box* power again after each pull of its plug."""
    while True:
        try:
            box.power_on(*first)
        except PowerCutError:
            box.replug(Kept.NONE)
        else:
            return


@pytest.mark.parametrize("pulls", [1, 2, 3])
def test_a_plug_pulled_in_the_trial_is_forgiven_while_tries_are_left(pulls: int) -> None:
    home = a_home(Behaviour.GOOD)
    box = ImpatientHome(home.disk, home.server, home.behaviours)
    box.pulls_left = pulls

    pull_until_quiet(box, OFFER)

    check_ending(box, Behaviour.GOOD)


def test_four_pulls_cost_the_trial_but_not_the_image_its_name() -> None:
    home = a_home(Behaviour.GOOD)
    box = ImpatientHome(home.disk, home.server, home.behaviours)
    box.pulls_left = 4

    pull_until_quiet(box, OFFER)
    retry = AssignReceived(2, an_assignment(IMAGE, VERSION, attempt=2))
    box.power_on(retry)

    assert [(v.attempt, v.phase, v.reason) for v in box.server.verdicts()] == [
        (1, Phase.ROLLED_BACK, Reason.POWER_CUT_IN_TRIAL),
        (2, Phase.UPDATED, None),
    ]
