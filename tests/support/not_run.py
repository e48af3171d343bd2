"""What a run of the tests could not run on this machine, said loudly at its end.

A test that needs what not every machine has (``oleada-lab doctor``) is skipped with a
reason that begins with ``MARK``; a hole that nobody sees is worse than a test that fails.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import pytest

MARK: Final = "not run here: "


def reason_of(report: pytest.TestReport) -> str:
    """Return what *report* says was missing; empty when it was skipped for another reason."""
    found = report.longrepr
    said = str(found[2]) if isinstance(found, tuple) else ""
    return said.partition(MARK)[2]


def lines(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return one line for each thing that was missing, with how many tests it cost."""
    missing = Counter(reason for report in reports if (reason := reason_of(report)))
    return [f"{reason} Tests not run: {count}." for reason, count in sorted(missing.items())]
