"""What can not be read is never "no limit": the rollout halts, says why, and frees its model."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from oleada_server.db import db
from oleada_server.devices.models import DeviceGroup
from oleada_server.rollouts import groups, newcomers, preparing, service
from oleada_server.rollouts.cover import Where
from oleada_server.rollouts.evidence.models import (
    BoxOutcome,
    ControlLook,
    EvidenceTerms,
    HoursBeside,
    StratumRow,
)
from oleada_server.rollouts.models import Rollout, RolloutState, Wave
from oleada_server.rollouts.rules import rules_from
from oleada_server.rollouts.spec import RolloutSpec
from sqlalchemy import delete, select, update

from tests.server.rollouts.evidence.trials import judged
from tests.server.rollouts.fleet import (
    ANA,
    MINUTE,
    NOON,
    a_fleet,
    a_newcomer,
    a_plan,
    a_release,
    ask,
    by,
    in_parts,
    row_of,
    started,
)

pytestmark = pytest.mark.usefixtures("sqlite_app")

Break = Callable[[int], None]


def rollout_has(**values: Any) -> Break:
    return lambda number: _run(update(Rollout).where(Rollout.id == number).values(**values))


def wave_has(**values: Any) -> Break:
    return lambda number: _run(update(Wave).where(Wave.rollout_id == number).values(**values))


def terms_have(**values: Any) -> Break:
    of = EvidenceTerms.rollout_id
    return lambda number: _run(update(EvidenceTerms).where(of == number).values(**values))


def more_than_all_are_dark(number: int) -> None:
    db.session.add(
        ControlLook(rollout_id=number, began_at=NOON, ends_at=NOON, closed_at=NOON, boxes=200,
                    dark=201)
    )  # fmt: skip


def an_hour_is_worse_than_all(number: int) -> None:
    terms_have(watches_hours=True, hours_to=NOON + MINUTE)(number)
    db.session.add(
        HoursBeside(rollout_id=number, at=NOON, stratum_id=_stratum(number), kind="crash",
                    updated=1, updated_bad=2, control=0, control_bad=0, late=0)
    )  # fmt: skip


def more_end_than_began(number: int) -> None:
    db.session.add(
        BoxOutcome(rollout_id=number, stratum_id=_stratum(number), attempt=1, was="open",
                   now="bad", at=NOON, box_id=row_of("VX410000000", number).id)
    )  # fmt: skip


def no_strata(number: int) -> None:
    _run(delete(StratumRow).where(StratumRow.rollout_id == number))


def no_terms(number: int) -> None:
    _run(delete(EvidenceTerms).where(EvidenceTerms.rollout_id == number))


PLAN: Final[dict[str, Break]] = {
    "rules": rollout_has(rules={"newcomers": "perhaps"}),
    "a window with one end": rollout_has(window_start_min=60, window_end_min=None),
    "a window of no day": rollout_has(window_start_min=60, window_end_min=2000),
    "a limit above one": wave_has(failed_share_max=1.5),
    "a sample of none": wave_has(sample_min=0),
    "a chance above one": terms_have(alpha=7.0),
}
"""Facts of the plan, which are read while boxes are written down and ever after."""
KNOWN: Final[dict[str, Break]] = {
    "more than all are dark": more_than_all_are_dark,
    "an hour is worse than all": an_hour_is_worse_than_all,
    "more end than began": more_end_than_began,
    "no strata": no_strata,
    "no terms": no_terms,
}
"""Facts of the evidence; the control among them."""
SOME: Final = {name: (PLAN | KNOWN)[name] for name in ("rules", "more than all are dark")}
"""One of each, in a pause: the same function reads them."""


def test_a_fact_that_can_not_be_read_halts_whoever_runs_or_is_paused_and_is_named() -> None:
    a_fleet(1)
    a_release()
    ends = {}
    for pauses, facts in ((False, PLAN | KNOWN), (True, SOME)):
        for name, breaks in facts.items():
            number = started(judged())
            if pauses:
                service.pause(number, "lunch", actor=ANA, now=NOON)
            breaks(number)
            db.session.commit()
            service.tick(NOON + MINUTE)
            ends[name, pauses] = service.get(number)

    going = {key for key, end in ends.items() if end.state != RolloutState.HALTED}
    assert going == set()
    assert all("contradict" in (end.state_reason or "") for end in ends.values())


def test_a_plan_that_can_not_be_read_while_boxes_are_written_down_halts_and_frees_its_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_fleet(4)
    a_release()
    in_parts(monkeypatch, boxes=2)
    filters = {"a filter": wave_has(box_filter={"region": 5}, share_until=None)}
    ends = {}
    for name, breaks in (PLAN | filters).items():
        number = started(judged())  # none is being prepared, or it would be refused
        breaks(number)
        db.session.commit()
        service.tick(NOON + MINUTE)
        ends[name] = service.get(number)

    assert {name for name, end in ends.items() if end.state != RolloutState.HALTED} == set()
    assert {name for name, end in ends.items() if end.preparing is not None} == set()


@pytest.mark.parametrize("what", ["its group", "its draws"])
def test_boxes_that_can_not_be_chosen_any_more_halt_the_rollout(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    a_fleet(4)
    a_release()
    groups.create("field", note="", rule=Where(version=("1.0.0",)), actor=ANA, now=NOON)
    in_parts(monkeypatch, boxes=2)
    number = started(a_plan(by(2), by(where=Where(group=("field",)))))
    if what == "its group":
        _run(delete(DeviceGroup))  # which no door does while a rollout names it
    else:
        rollout_has(preparing={"boxes": 0, "of": 4, "after": "", "draws": {"0": "?"}})(number)
    db.session.commit()

    preparing.tick(NOON)

    rollout = service.get(number)
    assert rollout.state == RolloutState.HALTED
    assert "can not be chosen any more" in (rollout.state_reason or "")


def test_a_box_may_not_begin_while_its_window_can_not_be_read() -> None:
    boxes = a_fleet(1)
    a_release()
    number = started(a_plan())
    PLAN["a window with one end"](number)
    db.session.commit()

    answer = ask(boxes[0])

    assert (answer.granted, answer.reason) == (False, "paused")


def test_a_plan_that_can_not_be_read_keeps_the_newcomers_of_no_other_out() -> None:
    first, second = (_that_takes_newcomers(model) for model in ("AA-1", "VX-410"))
    wave_has(box_filter={"region": 5}, share_until=None)(first)
    db.session.commit()
    a_newcomer(1)

    with pytest.raises(ExceptionGroup, match="could not join"):
        newcomers.tick(NOON + MINUTE)

    assert service.get(second).waves[0].boxes == 3


def _that_takes_newcomers(model: str) -> int:
    a_fleet(2, model=model)
    a_release(model=model)
    spec: RolloutSpec = a_plan(rules=rules_from({"newcomers": True}))
    return started(replace(spec, hardware_model=model))


def _run(statement: Any) -> None:
    db.session.execute(statement, execution_options={"synchronize_session": False})


def _stratum(number: int) -> int:
    return db.session.scalars(select(StratumRow.id).where(StratumRow.rollout_id == number)).one()
