"""Errors of diagnosis.

ServerError
├── PlaybookError        a playbook says something that can not be meant (our data)
└── SymptomNotKnownError nobody has written a playbook for this symptom
"""

from collections.abc import Iterable

from oleada_server.errors import ServerError


class PlaybookError(ServerError):
    """A playbook can not be read; says the file, the place, what was and what was expected."""

    status = 500
    code = "bad-playbook"

    def __init__(self, file: str, place: str, what: str) -> None:
        super().__init__(f"{file}, {place}: {what}")


class SymptomNotKnownError(ServerError):
    """There is no playbook for a symptom."""

    status = 404
    code = "symptom-not-known"

    def __init__(self, symptom: str, known: Iterable[str]) -> None:
        super().__init__(
            f"There is no playbook for {symptom[:40]!r}; there are: {', '.join(sorted(known))}."
        )
