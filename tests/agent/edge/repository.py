"""The lab's TUF repository in memory, for the tests of what a box trusts."""

from oleada_lab.real.repository import COMPACT, IMAGE, MODEL, NOON, Repository, a_custom, crypto

__all__ = ["COMPACT", "IMAGE", "MODEL", "NOON", "Repository", "a_custom", "crypto"]
