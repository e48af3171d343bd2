"""Every table in one import, for migrations and for tests that create them all."""

from oleada_server.accounts import models as accounts
from oleada_server.actions import models as actions
from oleada_server.audit import models as audit
from oleada_server.devices import models as devices
from oleada_server.diagnosis import models as diagnosis
from oleada_server.enrolment import models as enrolment
from oleada_server.live import models as live
from oleada_server.messaging import models as messaging
from oleada_server.releases import models as releases
from oleada_server.rollouts import models as rollouts
from oleada_server.rollouts.evidence import models as evidence
from oleada_server.system import models as system
from oleada_server.telemetry import models as telemetry

__all__ = [
    "accounts",
    "actions",
    "audit",
    "devices",
    "diagnosis",
    "enrolment",
    "evidence",
    "live",
    "messaging",
    "releases",
    "rollouts",
    "system",
    "telemetry",
]
