"""``python -m oleada_lab.mutation SPEC``: the run itself, in a process that is still clean.

SPEC is a JSON object ``{plan, root, module, sample, seed, children, scratch}`` and speaks of
one module. Lines of JSON come out: ``{"chosen"}`` (how many), one per verdict as it falls
(later ones of the same number count), then ``{"names"}`` of every mutant there is, or
``{"error"}``.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from oleada_lab.errors import LabError
from oleada_lab.mutation import plan
from oleada_lab.mutation.mutants import mutants
from oleada_lab.mutation.run import Verdict, Work


def main(arguments: Sequence[str]) -> int:
    """Run what the first of *arguments* says; return the exit status."""
    spec = json.loads(arguments[0])
    root = Path(spec["root"])
    try:
        found = plan.load(Path(spec["plan"]), [spec["module"]])
        sources = plan.read_sources(root, found)
        [target] = found.targets
        every = mutants(sources[target.file], target.file, target.annotations)
        chosen = plan.sampled(every, min(spec["sample"], len(every)), spec["seed"])
        _say(chosen=len(chosen))
        numbers = {mutant: number for number, mutant in enumerate(chosen)}

        def said(verdict: Verdict) -> None:
            mutant = asdict(verdict.mutant)
            _say(number=numbers[verdict.mutant], status=verdict.status, by=verdict.by, **mutant)

        scratch = Path(spec["scratch"])
        Work(root, found, sources, chosen, spec["children"], scratch, said).judge()
        _say(names=[mutant.name for mutant in every])
    except LabError as error:
        _say(error=str(error))
        return 1
    return 0


def _say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
