"""What a person plans of evidence; what is left open is learned from past rollouts.

Every figure is checked where it is typed: one that can not be read is refused, never taken
for "no limit".
"""

from dataclasses import dataclass, fields
from typing import Any

from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.evidence import maturity
from oleada_server.rollouts.evidence.eprocess import NoSuchCountError
from oleada_server.rollouts.evidence.judge import Terms

START_BOXES_MAX = 10_000_000
RIPE_AFTER_S_MAX = int(maturity.AGE_MAX.total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSpec:
    """How a rollout is to be judged; shares and chances are between 0 and 1.

    Attributes:
        accepted_share: Reported failures that are nobody's worry; None for 1.5 times those
            of the last rollout to the model, at least 0.5 %.
        alpha: The chance that a good release is halted.
        bad_share_max: A wave passes when more bad boxes than this share are ruled out.
        doubt: The chance that they are ruled out wrongly.
        start_boxes: At work before any box has proved good.
        ripe_after_s: How old a trial is when it counts; None for what past boxes took.
        rolls_back_trials: A halt takes boxes out of their trial, else it waits for them.
        watches_hours: Hours after the update are judged beside those of boxes that wait; None
            for where at least 200 boxes come after the first wave.
    """

    accepted_share: float | None = None
    alpha: float = 0.01
    bad_share_max: float = 0.05
    doubt: float = 0.05
    start_boxes: int = 20
    ripe_after_s: int | None = None
    rolls_back_trials: bool = True
    watches_hours: bool | None = None

    def __post_init__(self) -> None:
        share = 0.005 if self.accepted_share is None else self.accepted_share
        try:
            Terms(share, self.alpha, self.bad_share_max, self.doubt, self.start_boxes)
        except NoSuchCountError as error:
            raise BadPlanError(f"Evidence: {error}.", "evidence") from error
        if self.start_boxes > START_BOXES_MAX:
            raise BadPlanError(
                f"start_boxes is {self.start_boxes}; 1 to {START_BOXES_MAX} was expected.",
                "start_boxes",
            )
        if self.ripe_after_s is not None and not 1 <= self.ripe_after_s <= RIPE_AFTER_S_MAX:
            raise BadPlanError(
                f"ripe_after_s is {self.ripe_after_s}; 1 to {RIPE_AFTER_S_MAX} was expected.",
                "ripe_after_s",
            )


def evidence_from(body: dict[str, Any] | None) -> EvidenceSpec | None:
    """Return the plan in *body*, as REST has read it; None where limits alone are to count.

    Raises:
        BadPlanError: A figure is out of range.
    """
    if body == {}:
        raise BadPlanError(
            "Name a figure of the evidence, or leave it out for the usual ones.", "evidence"
        )
    return None if body is None else EvidenceSpec(**body)


def evidence_json(spec: EvidenceSpec | None) -> dict[str, Any] | None:
    """Return *spec* as REST shows it."""
    if spec is None:
        return None
    return {one.name: getattr(spec, one.name) for one in fields(spec)}
