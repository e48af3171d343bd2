"""Abort criteria of a plan: a share of ends of one sort, from a sample on, ends the rollout.

The shape is that of AWS IoT Jobs (``abortConfig.criteriaList``: failure type, threshold,
``minNumberOfExecutedThings``) with "N of the last M" beside it. They halt in addition to
the waves' own limits and to the evidence, never instead of them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sqlalchemy import func, select

from oleada_server.db import db
from oleada_server.rollouts import rules
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.plan import Outcome, exact, percent
from oleada_server.rollouts.plan_box import outcome
from oleada_server.rollouts.rules import Abort, AbortOn
from oleada_server.rollouts.states import PENDING, BoxState

Ends = Mapping[Outcome, int]

_COUNTED: Final[dict[AbortOn, frozenset[Outcome]]] = {
    AbortOn.FAILED: frozenset({Outcome.BAD}),
    AbortOn.REJECTED: frozenset({Outcome.LEFT_OUT}),
    AbortOn.TIMED_OUT: frozenset({Outcome.SILENT}),
    AbortOn.ANY: frozenset({Outcome.BAD, Outcome.LEFT_OUT, Outcome.SILENT}),
}
_ENDED: Final = _COUNTED[AbortOn.ANY] | {Outcome.GOOD}


def broken(criteria: Sequence[Abort], ends: Callable[[int | None], Ends]) -> str | None:
    """Return in words the first of *criteria* that the ends of boxes break, None if none.

    *ends* gives the outcomes of so many of the newest ends, or of all for None. A box
    that lost power or was cancelled has no end here: it says nothing of the release.
    """
    for one in criteria:
        found = ends(one.last)
        ended = sum(found.get(outcome, 0) for outcome in _ENDED)
        counted = sum(found.get(outcome, 0) for outcome in _COUNTED[one.on])
        if ended >= one.sample_min and counted > exact(one.share_max) * ended:
            which = f"of the last {ended}" if one.last else f"of {ended}"
            return (
                f"abort criterion {one.on}: {counted} {which} ended so, "
                f"more than {percent(one.share_max)}"
            )
    return None


def reason(rollout: Rollout) -> str | None:
    """Return why the plan's own criteria end *rollout* now, None if they do not.

    Raises:
        ImpossibleFactsError: The rules can not be read.
    """
    criteria = rules.read(rollout.rules).abort
    if not criteria:
        return None
    beside = ledger.terms_of(rollout.id) is not None
    return broken(criteria, lambda last: _ends(rollout.id, last, beside=beside))


def _ends(rollout_id: int, last: int | None, *, beside: bool) -> Ends:
    newest = (
        select(BoxInWave.state, BoxInWave.reason)
        .where(BoxInWave.rollout_id == rollout_id, BoxInWave.state.not_in(PENDING))
        .where(BoxInWave.ended_at.is_not(None))  # so that an index has the newest ones in order
        .order_by(BoxInWave.ended_at.desc(), BoxInWave.id.desc())
        .limit(last)
        .subquery()
    )
    query = select(newest.c.state, newest.c.reason, func.count()).group_by(
        newest.c.state, newest.c.reason
    )
    found: dict[Outcome, int] = {}
    for state, why, boxes in db.session.execute(query):
        kind = outcome(BoxState(state), why, beside=beside)
        found[kind] = found.get(kind, 0) + boxes
    return found
