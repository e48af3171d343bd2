"""May this box have this release at all? Every rule of it, one by one, decided purely.

The preview takes the first rule that a box fails as the reason why it is left out; the
explanation shows them all; the counterfactuals count boxes that fail exactly one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from oleada_wire.version import is_version, version_key

from oleada_server.rollouts.cover import BoxKind


class LeftOut(StrEnum):
    """Why a box of the model is in no wave."""

    REVOKED = "revoked"
    NEVER_HEARD = "never-heard"
    ALREADY_THERE = "already-there"
    RUNS_NEWER = "runs-newer"
    BELOW_MINIMUM_VERSION = "below-minimum-version"
    BELOW_SECURITY_FLOOR = "below-security-floor"
    MUST_PASS = "must-pass"  # noqa: S105 - a version to go through, not a secret
    LACKS_DEPENDENCY = "lacks-dependency"
    IN_ANOTHER_ROLLOUT = "in-another-rollout"
    NO_WAVE = "no-wave"
    OTHER_MODEL = "other-model"


MATTER_OF_PLANNING = frozenset(LeftOut) - {
    LeftOut.REVOKED,
    LeftOut.NEVER_HEARD,
    LeftOut.ALREADY_THERE,
    LeftOut.OTHER_MODEL,
}
"""Rules without which a box would have a use for the release; the others are no rules of a plan."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A box of the model, as far as it decides whether it may have a release.

    Attributes:
        claimed_by: The open rollout that has it already; None if none does.
        is_revoked: Nothing that it holds opens a door any more.
    """

    device_id: str
    kind: BoxKind
    security_version: int | None
    claimed_by: int | None
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """What a release asks of a box.

    Attributes:
        depends: What the box must be able to do.
        passes: Versions below this one that no box may skip, rising.
        back_from: A newer version whose boxes are to go back to it; None for none.
    """

    version: str
    security_version: int
    min_version: str | None = None
    depends: frozenset[str] = frozenset()
    passes: tuple[str, ...] = ()
    back_from: str | None = None


def why_not(box: Candidate, needs: Needs) -> LeftOut | None:
    """Return why *box* may not have the release; the first reason that holds.

    An open rollout keeps every box it started with until it ends, so of two rollouts
    the one that was started first has the box.
    """
    return next(failing(box, needs), None)


def failing(box: Candidate, needs: Needs) -> Iterator[LeftOut]:
    """Yield each rule that *box* fails, the plainest first; what can not be judged fails."""
    if box.is_revoked:
        yield LeftOut.REVOKED
    version = box.kind.version
    if version is None or not is_version(version):
        yield LeftOut.NEVER_HEARD
        return
    runs, wanted = version_key(version), version_key(needs.version)
    floor = box.security_version
    found = (
        (LeftOut.ALREADY_THERE, runs == wanted),
        (LeftOut.IN_ANOTHER_ROLLOUT, box.claimed_by is not None),
        (LeftOut.BELOW_SECURITY_FLOOR, floor is not None and needs.security_version < floor),
        (LeftOut.RUNS_NEWER, runs > wanted and not _goes_back(runs, needs)),
        (
            LeftOut.BELOW_MINIMUM_VERSION,
            bool(needs.min_version) and runs < version_key(needs.min_version or version),
        ),
        (LeftOut.MUST_PASS, first_to_pass(version, needs) is not None),
        (LeftOut.LACKS_DEPENDENCY, not needs.depends <= box.kind.provides),
    )
    yield from (reason for reason, is_failed in found if is_failed)


def _goes_back(runs: tuple[int, ...], needs: Needs) -> bool:
    return needs.back_from is not None and runs == version_key(needs.back_from)


def first_to_pass(version: str, needs: Needs) -> str | None:
    """Return the version that a box on *version* goes through first, None for the release."""
    runs = version_key(version)
    return next((one for one in needs.passes if runs < version_key(one)), None)
