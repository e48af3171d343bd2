"""Errors of backup and restore."""

from pathlib import Path

from oleada_server.errors import BadInputError, ConflictError


class BackupExistsError(ConflictError):
    """A file of that name is there; a backup never takes the place of another."""

    code = "backup-exists"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists; choose another name, or remove it first.")


class BadBackupError(BadInputError):
    """A backup is damaged, cut short, or no backup at all."""

    code = "bad-backup"


class BadPassphraseError(BadInputError):
    """A backup does not open with this passphrase."""

    code = "bad-passphrase"

    def __init__(self) -> None:
        super().__init__(
            "The backup does not open: the passphrase is another one, or the file's beginning is "
            "damaged."
        )


class BackupSealedError(BadInputError):
    """A backup is encrypted and no passphrase was given."""

    code = "backup-sealed"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is encrypted; give its passphrase with --passphrase-file.")


class NewerBackupError(ConflictError):
    """A backup was made by a newer version than this one."""

    code = "newer-backup"

    def __init__(self, version: str, revision: str, own: str) -> None:
        super().__init__(
            f"The backup was made by Oleada {version} with schema {revision}, which this version "
            f"does not know (it knows up to {own}). Install {version} or newer and restore again."
        )


class NotEmptyError(ConflictError):
    """A restore was asked for into a place that holds something."""

    code = "not-empty"


class NoRoomToRestoreError(ConflictError):
    """The disk that a restore writes to is too small for it."""

    code = "no-room-to-restore"

    def __init__(self, place: Path, needed: int, free: int) -> None:
        super().__init__(
            f"There is no room to restore into {place}: {needed} bytes are needed and {free} are "
            "free. Make room or choose another disk, then run the same command again; until it has "
            "finished, no server starts from there."
        )
