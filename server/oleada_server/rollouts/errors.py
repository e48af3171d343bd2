"""Errors of rollouts.

ServerError
├── ApprovalMissingError    409  a second person has to approve it first
├── BadPlanError            400  a field of the plan is not what was expected
├── BeingPreparedError      409  another rollout of the model is being prepared
├── EmptyWaveError          409  a wave would cover no box
├── GroupInUseError         409  a rollout that has not ended chooses by the group
├── GroupThereError         409  there is a group of that name already
├── IncidentNotFoundError   404
├── MiscountedError         409  it reaches another number of boxes than was typed
├── NoSuchGroupError        404
├── NoSuchReleaseError      404
├── ReleaseWithdrawnError   409
├── NoSignatureError        400  no new signature of somebody who may sign waves
├── NothingProvenError      409  no box of the wave runs the release yet
├── NothingToSignError      409  no wave waits for the signatures of approvers
├── RolloutNotFoundError    404
├── RolloutStateError       409  the rollout is in a state in which that can not be done
├── SecondPersonError       403  who planned it or asked can not approve it
│   └── SignerApprovesError 403  who signed its release can not approve it
├── WaveNotHeldError        409  the wave does not wait for a person
├── WaveNotNextError        409  the wave is not the one that could open early
└── NothingToRetryError     409  none of the boxes named may be assigned again
"""

from collections.abc import Iterable

from oleada_server.errors import BadInputError, ConflictError, NotAllowedError, NotFoundError


class ApprovalMissingError(ConflictError):
    """A second person has to approve the rollout before it begins."""

    code = "approval-missing"

    def __init__(self, rollout_id: int) -> None:
        super().__init__(
            f"R-{rollout_id} begins only after a second person has approved it; ask with "
            f"`oleada rollout ask R-{rollout_id}` or on its page."
        )


class MiscountedError(ConflictError):
    """Who decides has typed another number of boxes than there are: they saw an older page."""

    code = "miscounted"

    def __init__(self, rollout_id: int, there: int, typed: int) -> None:
        super().__init__(f"R-{rollout_id} reaches {there} boxes, not {typed}; look again.")


class SecondPersonError(NotAllowedError):
    """Who planned a rollout or asked for its approval can not decide it."""

    code = "second-person-needed"

    def __init__(self, rollout_id: int) -> None:
        super().__init__(
            f"You planned R-{rollout_id} or asked for its approval, so another person with the "
            "role approver has to decide."
        )


class NothingToSignError(ConflictError):
    """No wave of the rollout waits for the signatures of approvers."""

    code = "nothing-to-sign"

    def __init__(self, rollout_id: int) -> None:
        super().__init__(
            f"No wave of R-{rollout_id} waits for signatures: they are signed, it has not begun, "
            "or it has ended."
        )


class NoSignatureError(BadInputError):
    """The file brings no signature that counts and was not there already."""

    code = "no-signature"

    def __init__(self, rollout_id: int) -> None:
        super().__init__(
            f"There is no new signature of a wave approver on the waves of R-{rollout_id}; sign "
            "them with: oleada rollout sign FILE --key KEY.pem",
            "waves",
        )


class SignerApprovesError(SecondPersonError):
    """Who owns a key that signed the release can not approve its rollout."""

    code = "signer-approves"

    def __init__(self, rollout_id: int) -> None:
        NotAllowedError.__init__(
            self,
            f"You own a key that signed the release of R-{rollout_id}; who signs does not approve, "
            "so another person with the role approver has to decide.",
        )


class WaveNotHeldError(ConflictError):
    """The wave does not wait for a person, or not any more."""

    code = "wave-not-held"

    def __init__(self, rollout_id: int, position: int, state: str) -> None:
        super().__init__(
            f"Wave {position} of R-{rollout_id} is {state}; only a held wave waits for a person."
        )


class WaveNotNextError(ConflictError):
    """The wave is not the next one to open, or the one in front waits for a person."""

    code = "wave-not-next"

    def __init__(self, rollout_id: int, position: int) -> None:
        super().__init__(
            f"Wave {position} of R-{rollout_id} can not open early: only the next wave can, while "
            "the one in front is open or soaks. Let a held wave go on instead."
        )


class NothingProvenError(ConflictError):
    """No box of the wave runs the release, so there is nothing to go on from."""

    code = "nothing-proven"

    def __init__(self, rollout_id: int, position: int) -> None:
        super().__init__(
            f"No box of wave {position} of R-{rollout_id} runs the release yet; retry boxes, or "
            "stop the rollout."
        )


class BadPlanError(BadInputError):
    """A field of the plan is not what was expected."""

    code = "bad-plan"


class NoSuchGroupError(NotFoundError):
    """There is no such group of boxes."""

    code = "no-such-group"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no group {name[:40]!r}; `oleada group list` names them, `oleada group "
            "create` makes one."
        )


class GroupThereError(ConflictError):
    """There is a group of that name already."""

    code = "group-there"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a group {name} already; take another name, or change that one.")


class GroupInUseError(ConflictError):
    """A rollout that has not ended chooses its boxes by the group."""

    code = "group-in-use"

    def __init__(self, name: str, rollout_id: int) -> None:
        super().__init__(
            f"R-{rollout_id} chooses boxes by group {name}; it can be removed when that has ended."
        )


class EmptyWaveError(ConflictError):
    """A wave without boxes proves nothing, so it can not open a gate."""

    code = "empty-wave"

    def __init__(self, position: int, name: str) -> None:
        super().__init__(
            f"Wave {position} ({name}) would cover no box now. Raise its share, name other "
            "boxes, or leave the wave out; the preview says why boxes are left out."
        )


class BeingPreparedError(ConflictError):
    """Another rollout of the model chooses its boxes; two would choose in no order."""

    code = "being-prepared"

    def __init__(self, rollout_id: int) -> None:
        super().__init__(
            f"The boxes of R-{rollout_id} for the same model are being written down; start "
            "this one when that is done, within a minute or so."
        )


class KeyReusedError(ConflictError):
    """An idempotency key came again with another request."""

    code = "idempotency-key-reused"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Idempotency key {key[:40]!r} was used for another request; send a new key with "
            "each new request, and the same one only to repeat a request."
        )


class NoSuchReleaseError(NotFoundError):
    """No release of this model has this version."""

    code = "no-such-release"

    def __init__(self, hardware_model: str, version: str) -> None:
        super().__init__(
            f"There is no release {version} for {hardware_model}. "
            "`oleada release list` shows what is published."
        )


class ReleaseWithdrawnError(ConflictError):
    """A withdrawn release goes to no box."""

    code = "rollout-of-withdrawn-release"

    def __init__(self, hardware_model: str, version: str) -> None:
        super().__init__(
            f"Release {version} for {hardware_model} was withdrawn and goes to no box; "
            "publish a newer one and plan that."
        )


class RolloutNotFoundError(NotFoundError):
    """There is no rollout with this id."""

    code = "no-such-rollout"

    def __init__(self, rollout_id: int) -> None:
        super().__init__(f"There is no rollout R-{rollout_id}.")


class RolloutStateError(ConflictError):
    """The rollout is in a state in which that can not be done."""

    code = "rollout-state"

    def __init__(self, rollout_id: int, state: str, verb: str, states: Iterable[str]) -> None:
        expected = " or ".join(sorted(states))
        super().__init__(f"R-{rollout_id} is {state}; to {verb} a rollout it must be {expected}.")


class NothingToRetryError(ConflictError):
    """None of the boxes named may be assigned again."""

    code = "nothing-to-retry"

    def __init__(self, rollout_id: int) -> None:
        super().__init__(
            f"None of these boxes of R-{rollout_id} has failed, rolled back, declined or "
            "fallen silent, so there is nothing to retry."
        )


class IncidentNotFoundError(NotFoundError):
    """There is no such incident."""

    code = "incident-not-found"

    def __init__(self, incident_ref: str) -> None:
        super().__init__(f"There is no incident {incident_ref[:40]!r}, such as I-7.")
