"""The shapes of the REST API of rollouts: what is read, and what is answered."""

from dataclasses import asdict
from typing import Any

from marshmallow import Schema, fields, validate
from oleada_store import waves
from oleada_wire.ids import normalise_device_id
from oleada_wire.messages import Window

from oleada_server.rollouts import approvals, freezing
from oleada_server.rollouts.cover import where_from
from oleada_server.rollouts.dryrun import Run
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.evidence.spec import EvidenceSpec, evidence_from
from oleada_server.rollouts.explain import Explanation
from oleada_server.rollouts.models import GoneBack, Rollout
from oleada_server.rollouts.plan import exact
from oleada_server.rollouts.presence import Replay
from oleada_server.rollouts.reading import BoxRow, Failure, WaveCounts
from oleada_server.rollouts.rules import rules_from
from oleada_server.rollouts.rules_schema import RulesPlan, WherePlan
from oleada_server.rollouts.signatures import Missing
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec, usual_limits, with_hold_back
from oleada_server.rollouts.states import BoxState

CLOCK_TIME = validate.Regexp(r"^([01][0-9]|2[0-3]):[0-5][0-9]$", error="Write HH:MM, 24 hours.")


class WavePlan(Schema):
    """One wave as planned; shares are 0 to 1, *share_until* is cumulative."""

    name = fields.String(required=True)
    share_until = fields.Float()
    device_ids = fields.List(fields.String())
    count = fields.Integer(strict=True)
    where = fields.Nested(WherePlan)
    success_share_min = fields.Float()
    failed_share_max = fields.Float()
    silent_share_max = fields.Float()
    sample_min = fields.Integer(strict=True)
    soak_s = fields.Integer(strict=True)


class EvidencePlan(Schema):
    """How a release is judged beside the limits; shares and chances are between 0 and 1."""

    accepted_share = fields.Float(allow_none=True)
    alpha = fields.Float()
    bad_share_max = fields.Float()
    doubt = fields.Float()
    start_boxes = fields.Integer(strict=True)
    ripe_after_s = fields.Integer(strict=True, allow_none=True)
    rolls_back_trials = fields.Boolean()
    watches_hours = fields.Boolean(allow_none=True)


class WindowPlan(Schema):
    """A daily window in each box's own zone; may cross midnight."""

    start = fields.String(required=True, validate=CLOCK_TIME)
    end = fields.String(required=True, validate=CLOCK_TIME)


class RolloutPlan(Schema):
    """A rollout as planned."""

    hardware_model = fields.String(required=True)
    version = fields.String(required=True)
    waves = fields.List(fields.Nested(WavePlan), required=True)
    name = fields.String()
    start_at = fields.AwareDateTime(format="iso")
    window = fields.Nested(WindowPlan)
    silent_after_s = fields.Integer(strict=True)
    attempts_max = fields.Integer(strict=True)
    in_flight_max = fields.Integer(strict=True)
    spread_s = fields.Integer(strict=True)
    lease_s = fields.Integer(strict=True)
    salt = fields.String()
    rules = fields.Nested(RulesPlan)
    hold_back_share = fields.Float()
    evidence = fields.Nested(EvidencePlan, allow_none=True)


class Reason(Schema):
    """Why a person does it; kept in the audit trail."""

    reason = fields.String(load_default=None, validate=validate.Length(max=500), allow_none=True)


class GivenReason(Schema):
    """Why a person does it; must be said."""

    reason = fields.String(required=True, validate=validate.Length(min=1, max=500))


class Force(GivenReason):
    """Why a rollout is forced, and how many boxes it reaches, typed by whoever decides."""

    boxes = fields.Integer(required=True, strict=True, validate=validate.Range(1))


class OpenEarly(GivenReason):
    """Why a wave opens early, and how many boxes it reaches, typed by whoever decides."""

    boxes = fields.Integer(required=True, strict=True, validate=validate.Range(1))


class SignedWaves(Schema):
    """The file of waves to sign, as it comes back from approvers (``oleada_store.waves``)."""

    format = fields.String(required=True, validate=validate.Equal(waves.FORMAT))
    rollout = fields.String(required=True, validate=validate.Length(min=1, max=40))
    threshold = fields.Integer(required=True, strict=True, validate=validate.Range(1, 100))
    may_sign = fields.List(fields.String(), required=True, validate=validate.Length(max=100))
    waves = fields.List(fields.Dict(keys=fields.String()), required=True)


class RetryPlan(Reason):
    """Which boxes to assign again: by id, or by the reason for which they ended."""

    device_ids = fields.List(fields.String(), validate=validate.Length(min=1, max=10_000))
    ended_for = fields.String(validate=validate.Length(min=1, max=40))


class ListQuery(Schema):
    """Which rollouts: newest first, below *before* (``R-7``)."""

    before = fields.String()
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))


class WhyQuery(Schema):
    """Which box, and which release or rollout; of both, the rollout counts."""

    device_id = fields.String(required=True)
    version = fields.String()
    rollout = fields.String()


class BoxesQuery(Schema):
    """Which boxes of a rollout, from the one behind *after* on."""

    wave = fields.Integer()
    state = fields.String(validate=validate.OneOf([str(state) for state in BoxState]))
    reason = fields.String()
    after = fields.String()
    limit = fields.Integer(load_default=100, validate=validate.Range(1, 500))


def spec_from(body: dict[str, Any]) -> RolloutSpec:
    """Return the plan in *body*, as :class:`RolloutPlan` has read it.

    Raises:
        BadPlanError: A limit is out of range, or the waves do not fit each other.
    """
    given = dict(body)
    # Who says nothing of evidence gets it; who wants limits alone has to say so.
    evidence = evidence_from(given.pop("evidence")) if "evidence" in given else EvidenceSpec()
    usual = usual_limits(has_evidence=evidence is not None)
    waves = tuple(_wave_from({**usual, **wave}) for wave in given.pop("waves"))
    if (share := given.pop("hold_back_share", None)) is not None:
        waves = with_hold_back(waves, share)
    window = given.pop("window", None)
    named = given.pop("rules", None)
    if named == {}:
        raise BadPlanError("rules names no rule; leave it out for none.", "rules")
    rules = rules_from(named or {})
    return RolloutSpec(
        waves=waves,
        window=window and window_from(**window),
        rules=rules,
        evidence=evidence,
        **given,
    )


def window_from(start: str, end: str) -> Window:
    """Return the window from *start* to *end*, each ``HH:MM``.

    Raises:
        BadPlanError: It would be open never or always.
    """
    try:
        return Window(_minutes(start), _minutes(end))
    except ValueError as error:
        raise BadPlanError(f"Window {start} to {end}: {error}.", "window") from error


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _clock_time(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _wave_from(wave: dict[str, Any]) -> WaveSpec:
    if (listed := wave.pop("device_ids", None)) is not None:
        wave["device_ids"] = tuple(normalise_device_id(text) for text in listed)
    if (where := wave.pop("where", None)) is not None:
        wave["where"] = where_from(where)
    return WaveSpec(**wave)


def rollout_json(rollout: Rollout) -> dict[str, Any]:
    """Return *rollout* as lists and answers show it."""
    release, progress = rollout.release, freezing.progress(rollout)
    window = None
    if rollout.window_start_min is not None and rollout.window_end_min is not None:
        window = {
            "start": _clock_time(rollout.window_start_min),
            "end": _clock_time(rollout.window_end_min),
        }
    return {
        "id": f"R-{rollout.id}",
        "name": rollout.name,
        "state": str(rollout.state),
        "state_reason": rollout.state_reason,
        "hardware_model": release.hardware_model,
        "version": release.version,
        "sha256": release.sha256,
        "size_bytes": release.size_bytes,
        "created_at": rollout.created_at.isoformat(),
        "created_by": rollout.created_by,
        "needs_approval": approvals.is_needed(rollout),
        "asked_at": rollout.asked_at and rollout.asked_at.isoformat(),
        "asked_by": rollout.asked_by,
        "ask_remark": rollout.ask_remark,
        "approved_at": rollout.approved_at and rollout.approved_at.isoformat(),
        "approved_by": rollout.approved_by,
        "start_at": rollout.start_at and rollout.start_at.isoformat(),
        "started_at": rollout.started_at and rollout.started_at.isoformat(),
        "ended_at": rollout.ended_at and rollout.ended_at.isoformat(),
        "salt": rollout.salt,
        "window": window,
        "silent_after_s": rollout.silent_after_s,
        "attempts_max": rollout.attempts_max,
        "in_flight_max": rollout.in_flight_max,
        "spread_s": rollout.spread_s,
        "lease_s": rollout.lease_s,
        "rules": rollout.rules or {},
        "is_forced": rollout.is_forced,
        "preparing": progress and {"boxes": progress.boxes, "of": progress.of},
    }


def waves_json(rollout: Rollout, counted: list[WaveCounts]) -> list[dict[str, Any]]:
    """Return the waves of *rollout* with their exact numbers, in order."""
    return [
        {
            "id": wave.id,
            "position": wave.position,
            "name": wave.name,
            "state": str(wave.state),
            "state_reason": wave.state_reason,
            "share_until": wave.share_until,
            "listed": wave.device_ids is not None,
            "count": wave.box_count,
            "where": wave.box_filter,
            "boxes": wave.boxes,
            "states": {str(state): n for state, n in counts.states.items() if n},
            "outcomes": {str(found): n for found, n in counts.outcomes.items() if n},
            "stages": counts.stages,
            "success_share_min": float(exact(wave.success_share_min)),
            "failed_share_max": float(exact(wave.failed_share_max)),
            "silent_share_max": float(exact(wave.silent_share_max)),
            "sample_min": wave.sample_min,
            "soak_s": wave.soak_s,
            "opened_at": wave.opened_at and wave.opened_at.isoformat(),
            "soak_from": wave.soak_from and wave.soak_from.isoformat(),
            "passed_at": wave.passed_at and wave.passed_at.isoformat(),
        }
        for wave, counts in zip(rollout.waves, counted, strict=True)
    ]


def gone_back_json(found: GoneBack) -> dict[str, Any]:
    """Return what became of the boxes that were to go back to one version."""
    return {
        "version": found.version,
        "boxes": found.boxes,
        "rollout": found.back_id and f"R-{found.back_id}",
        "refused": found.refused,
        "at": found.at.isoformat(),
    }


def missing_json(found: Missing) -> dict[str, Any]:
    """Return a wave that waits for signatures of approvers."""
    runs_until = found.runs_until and found.runs_until.isoformat()
    return {
        "wave": found.position,
        "have": found.have,
        "needed": found.needed,
        "signed_until": runs_until,
    }


def why_json(found: Explanation) -> dict[str, Any]:
    """Return every rule of an explanation; *begins_at* is when time alone lets it begin."""
    return {
        "passes": not found.failed,
        "begins_at": found.begins_at and found.begins_at.isoformat(),
        "rules": [
            {
                "rule": str(rule.name),
                "passed": rule.passed,
                "seen": rule.seen,
                "wanted": rule.wanted,
                "change": rule.change,
            }
            for rule in found.rules
        ],
    }


def replay_json(found: Replay) -> dict[str, Any]:
    """Return a plan replayed on the presence of the last days; what may break, by share."""
    return {
        "days": found.days,
        "boxes": found.boxes,
        "good": _run_json(found.good),
        "damage": [{"share": share, **_run_json(run)} for share, run in found.damage.items()],
        "widths": [
            {"in_flight_max": width, "ends_at": ends_at and ends_at.isoformat()}
            for width, ends_at in found.widths.items()
        ],
    }


def _run_json(run: Run) -> dict[str, Any]:
    return {**asdict(run), "ends_at": run.ends_at and run.ends_at.isoformat()}


def failure_json(failure: Failure) -> dict[str, Any]:
    """Return one group of boxes that ended alike."""
    return {
        "reason": failure.reason,
        "state": str(failure.state),
        "outcome": str(failure.outcome),
        "boxes": failure.boxes,
        "example": failure.example,
        "runs_now": failure.runs_now,
    }


def box_json(box: BoxRow) -> dict[str, Any]:
    """Return one box of a rollout."""
    return {
        "device_id": box.device_id,
        "serial": box.serial,
        "wave": box.wave_position,
        "state": str(box.state),
        "attempt": box.attempt,
        "reason": box.reason,
        "detail": box.detail,
        "done_bytes": box.done_bytes,
        "version_before": box.version_before,
        "version_now": box.version_now,
        "changed_at": box.changed_at.isoformat(),
    }
