"""What can go wrong in the lab.

LabError
├── ImageError              an image can not be built
├── FirmwareLockError       the lock file can not be read, or does not match the archive
├── PackageMissingError     a locked package is not in the archive any more
├── BoxError                a box's directory or process is not as asked
├── MountError              a file system of the lab can not be mounted
├── MutantError             a planted bug does not apply, or proves nothing
├── MutationError           a mutation run can not begin, or its tests fail as they are
└── OperatorError           the demo's operator can not be set up
"""


class LabError(Exception):
    """The lab can not do what was asked; the message says what to do."""


class ImageError(LabError):
    """An image can not be built from what was given."""


class FirmwareLockError(LabError):
    """The lock file can not be read, or a package does not match it."""


class PackageMissingError(FirmwareLockError):
    """A locked package is not in the archive any more."""


class BoxError(LabError):
    """A box's directory or process is not in the state that was asked for."""


class OperatorError(LabError):
    """The small operator can not be set up or reached."""


class MutantError(LabError):
    """A planted bug does not apply any more, does not run, or has no judge."""


class MutationError(LabError):
    """A mutation run can not begin: its plan is wrong, or its tests fail without a fault."""


class MountError(LabError):
    """A file system of the lab can not be mounted, or its process is gone."""
