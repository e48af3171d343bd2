"""What the pages say of waves that wait for the signatures of approvers.

The console can not sign: the keys are not on this server, and a page that asked for one
would teach people to bring it. It says who is missing and what to type.
"""

from dataclasses import dataclass

from markupsafe import Markup

from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import Identity
from oleada_server.rollouts import service
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.states import WaveState
from oleada_server.web import words
from oleada_server.web.rollout_view import Figures, title
from oleada_server.web.words import gettext, say, say_n


@dataclass(frozen=True, slots=True)
class Need:
    """One line of *Needs you*: a rollout that waits, and whether for this person."""

    rollout: Rollout
    title: Markup
    text: str
    is_yours: bool


@dataclass(frozen=True, slots=True)
class Signing:
    """The panel of a rollout whose waves wait for signatures.

    Attributes:
        facts: One line for each wave that waits.
        commands: What approvers type, in order, on their own machines.
        stands_still: Whether the rollout can do nothing before.
    """

    title: Markup
    facts: list[Markup]
    commands: list[str]
    stands_still: bool


def of(found: Figures) -> Signing | None:
    """Return the panel of a rollout, None when nothing waits for a signature."""
    missing = service.missing_signatures(found.rollout)
    if not missing:
        return None
    ref = f"R-{found.rollout.id}"
    boxes = {one.wave.position: one.boxes for one in found.waves}
    facts = []
    for one in missing:
        facts.append(
            say_n("<b>Wave %(wave)s</b>, %(n)s box: %(have)s of %(needed)s signatures.",
                  "<b>Wave %(wave)s</b>, %(n)s boxes: %(have)s of %(needed)s signatures.",
                  boxes[one.position], wave=one.position, have=one.have, needed=one.needed)
        )  # fmt: skip
        if one.runs_until is not None:
            facts.append(
                say("What was signed of wave %(wave)s holds until %(moment)s.",
                    wave=one.position, moment=words.moment(one.runs_until))
            )  # fmt: skip
    facts.append(
        say("The keys are not on this server, so that whoever takes it can send no release to "
            "more boxes. Boxes check the signatures themselves.")
    )  # fmt: skip
    return Signing(
        say("Waves of %(ref)s wait for the signatures of approvers", ref=ref),
        facts,
        [
            f"oleada rollout waves {ref}",
            f"oleada rollout sign {ref}.waves.json --key KEY.pem",
            f"oleada rollout authorise {ref}.waves.json",
        ],
        found.unsigned is not None,
    )


def need(rollout: Rollout, person: Identity) -> Need | None:
    """Return the line of a running *rollout* under *Needs you*, None if nobody has to sign."""
    waiting = next((wave for wave in rollout.waves if wave.state == WaveState.WAITING), None)
    before = [w for w in rollout.waves if waiting is None or w.position < waiting.position]
    is_next = all(wave.state == WaveState.PASSED for wave in before)
    if waiting is None or not is_next or waiting.sign_request is None or waiting.authorisation:
        return None
    heading = say("Wave %(n)s of %(ref)s waits for signatures, %(what)s",
                  n=waiting.position, ref=f"R-{rollout.id}", what=title(rollout))  # fmt: skip
    text = gettext("It opens when enough wave approvers have signed it on their own machines.")
    return Need(rollout, heading, text, person.may(Role.APPROVER))
