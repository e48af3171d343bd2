"""The run: plan in, a verdict for each mutant out.

This process imports what the plan says of other people's packages, and nothing of ours,
so that each of its forks can import a mutated module as if for the first time.
"""

import importlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import hypothesis
import pytest

from oleada_lab.errors import MutationError
from oleada_lab.mutation import anew
from oleada_lab.mutation.mutants import Mutant
from oleada_lab.mutation.plan import Plan, Target
from oleada_lab.mutation.session import (
    INVALID,
    OTHERWISE,
    SURVIVED,
    Child,
    Known,
    Session,
    be_quiet,
    reap,
)

OPTIONS: Final = (
    "-q", "-s", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:randomly",
    "-p", "no:faulthandler", "--tb=short",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutant: its status, and the test that killed it or ""."""

    mutant: Mutant
    status: str
    by: str = ""


@dataclass(slots=True)
class Work:
    """One run in progress.

    Attributes:
        sources: Texts of the mutated files, by name.
        scratch: A folder for temporary files of tests.
        said: Is told of each verdict as it falls.
    """

    root: Path
    plan: Plan
    sources: Mapping[str, str]
    mutants: Sequence[Mutant]
    children: int
    scratch: Path
    said: Callable[[Verdict], None]
    verdicts: dict[Mutant, Verdict] = field(default_factory=dict)
    known: Known = field(default_factory=Known)

    def judge(self) -> list[Verdict]:
        """Return the verdict of each mutant, in the order in which they were given.

        Raises:
            MutationError: the tests fail without any mutant, or can not be collected.
        """
        os.chdir(self.root)
        for name in self.plan.preload:
            importlib.import_module(name)
        hypothesis.settings.register_profile(
            "mutation", deadline=None, derandomize=True, database=None
        )
        hypothesis.settings.load_profile("mutation")
        self._in_living_process()
        self._anew()
        return [found for one in self.mutants if (found := self.verdicts[one]).status != INVALID]

    def _in_living_process(self) -> None:
        """Learn what the tests run, and judge mutants of functions in forks of one session."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            be_quiet()
            self._session(write)
        os.close(write)
        with os.fdopen(read) as pipe:
            for line in pipe:
                said = json.loads(line)
                if "cpu_s" in said:
                    self.known = Known(**said)
                    self._refuse_failing()
                else:
                    self._take(Verdict(self.mutants[said["number"]], said["status"], said["by"]))
        _, status = os.waitpid(pid, 0)
        if status or not self.known.cpu_s:
            raise MutationError("The tests can not be collected; run them with pytest to see why.")

    def _session(self, write: int) -> None:
        """Be the session: tell the parent over pipe *write*, and end."""
        numbers = {mutant: number for number, mutant in enumerate(self.mutants)}

        def tell(**what: object) -> None:
            os.write(write, json.dumps(what).encode() + b"\n")

        def judged(mutant: Mutant, status: str, by: str) -> None:
            tell(number=numbers[mutant], status=status, by=by)

        work = [(one, self._target(one).tests) for one in self.mutants if one.function]
        plugin = Session(
            self.root,
            self.sources,
            work,
            judged=judged,
            children=self.children,
            patience_s=self.plan.patience_s,
            learnt=tell,
        )
        ended = 1
        try:
            ended = int(pytest.main([*self._options("living"), *self._files()], plugins=[plugin]))
        finally:
            os._exit(ended)

    def _anew(self) -> None:
        """Judge what runs at import, and look again at what has survived."""
        waiting = [
            one
            for one in self.mutants
            if one not in self.verdicts or self.verdicts[one].status in {OTHERWISE, SURVIVED}
        ]
        kills = Counter(verdict.by for verdict in self.verdicts.values())
        running: dict[int, Child] = {}
        for number, mutant in enumerate(waiting):
            target = self._target(mutant)
            judges = self.known.judges(mutant, target.tests, kills)
            if not judges:
                self._take(Verdict(mutant, SURVIVED))
                continue
            if len(running) >= self.children:
                self._reap(running)
            clean_cpu_s = sum(self.known.cpu_s[name] for name in judges)
            options = self._options(f"anew-{number}")
            pid, pipe = anew.judge(
                anew.Task(
                    self.root,
                    target.module,
                    self.sources[mutant.file],
                    mutant,
                    judges,
                    clean_cpu_s,
                    self.plan.patience_s,
                    options,
                )
            )
            running[pid] = (mutant, judges, pipe)
        while running:
            self._reap(running)

    def _reap(self, running: dict[int, Child]) -> None:
        self._take(Verdict(*reap(running)))

    def _take(self, found: Verdict) -> None:
        self.verdicts[found.mutant] = found
        if found.status != OTHERWISE:
            self.said(found)

    def _refuse_failing(self) -> None:
        if self.known.failed:
            raise MutationError(
                "These tests fail without any fault planted; mend them first:\n"
                + "\n".join(self.known.failed)
            )

    def _target(self, mutant: Mutant) -> Target:
        return next(target for target in self.plan.targets if target.file == mutant.file)

    def _files(self) -> list[str]:
        return list(dict.fromkeys(file for target in self.plan.targets for file in target.tests))

    def _options(self, name: str) -> list[str]:
        marks = ["-m", self.plan.marks] if self.plan.marks else []
        return [
            *OPTIONS, f"--rootdir={self.root}", f"--basetemp={self.scratch / name}",
            "-o", "timeout=0", *marks,
        ]  # fmt: skip
