"""Asks the oracles about a copy, or goes by what they said of the same bytes before.

What is kept counts for every byte that an oracle may read: code, stories and the planted bug.
So a patch that is cut anew is judged anew, and no other bug is.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from oleada_lab.kept_lines import KeptLines
from oleada_lab.mutants import oracles
from oleada_lab.mutants.oracles import Judgement

UNREAD: Final = Path("lab/mutants")
"""The bugs themselves, which no oracle reads."""


def ask(names: Sequence[str], copy: Path, cpu_s_max: int, kept: KeptLines) -> Judgement:
    """Return what ``oracles.ask`` says, or what is *kept* of the same question.

    Another order of *names* is the same question: it says only who is asked first.

    Raises:
        MutantError: the copy does not even run, which is never kept.
        LabError: the file takes nothing.
    """
    question = _digest(names, copy)
    before = kept.get(question)
    if before is not None:
        return Judgement(**before)
    found = oracles.ask(names, copy, cpu_s_max)
    kept.add(question, asdict(found))
    return found


def _digest(names: Sequence[str], copy: Path) -> str:
    """Return the SHA-256 of *names* and of every file of *copy* that an oracle may read."""
    found = hashlib.sha256(repr(sorted(names)).encode())
    for path in sorted(copy.rglob("*")):
        name = path.relative_to(copy)
        if path.is_file() and "__pycache__" not in name.parts and UNREAD not in name.parents:
            found.update(f"{name}\n".encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
