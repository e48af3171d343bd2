"""How REST takes rules and filters; what they mean is checked once more where they are made."""

from marshmallow import Schema, fields, validate
from oleada_wire.words import Reason

from oleada_server.rollouts.pace import GrowsOn
from oleada_server.rollouts.rules import AbortOn
from oleada_server.rollouts.schedule import DAYS


def _words(words: type[Reason] | type[GrowsOn] | type[AbortOn]) -> validate.OneOf:
    return validate.OneOf([str(word) for word in words])


class WherePlan(Schema):
    """A filter over boxes: any value of an attribute will do, attributes narrow together."""

    region = fields.List(fields.String())
    version = fields.List(fields.String())
    zone = fields.List(fields.String())
    group = fields.List(fields.String())
    provides = fields.List(fields.String())
    version_min = fields.String()
    version_max = fields.String()


class WeekWindowPlan(Schema):
    """A window on some days of the week, in each box's own zone; may end on the next day."""

    days = fields.List(fields.String(validate=validate.OneOf(DAYS)))
    start = fields.String(required=True)
    end = fields.String(required=True)


class BlackoutPlan(Schema):
    """Days on which no box begins, both included, as the box's own clock says."""

    first = fields.String(required=True)
    last = fields.String(required=True)


class RatePlan(Schema):
    """How many boxes may begin a minute; *kind* says which of the other fields belong to it."""

    kind = fields.String(required=True, validate=validate.OneOf(["constant", "exponential"]))
    per_minute = fields.Integer(strict=True)
    base_per_minute = fields.Integer(strict=True)
    factor = fields.Float()
    every = fields.Integer(strict=True)
    on = fields.String(validate=_words(GrowsOn))
    max_per_minute = fields.Integer(strict=True)


class AbortPlan(Schema):
    """What ends the rollout: too great a share of ends of one sort."""

    on = fields.String(required=True, validate=_words(AbortOn))
    share_max = fields.Float(required=True)
    sample_min = fields.Integer(required=True, strict=True)
    last = fields.Integer(strict=True)


class RulesPlan(Schema):
    """When, how fast, what is tried again, what ends it; a rule that is left out is none."""

    windows = fields.List(fields.Nested(WeekWindowPlan))
    blackouts = fields.List(fields.Nested(BlackoutPlan))
    rate = fields.Nested(RatePlan)
    in_flight_max_per_region = fields.Integer(strict=True)
    bandwidth_max_bytes_s = fields.Integer(strict=True)
    bandwidth_max_per_region_bytes_s = fields.Integer(strict=True)
    box_bytes_s = fields.Integer(strict=True)
    retry_for = fields.List(fields.String(validate=_words(Reason)))
    abort = fields.List(fields.Nested(AbortPlan))
    newcomers = fields.Boolean(truthy={True}, falsy={False})
    goes_back = fields.Boolean(truthy={True}, falsy={False})
    back_from = fields.String()
