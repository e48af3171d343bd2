"""The agent as it was: boxes in homes run code that is years older than their server."""

import subprocess
from pathlib import Path

from oleada_lab.errors import LabError


def agent_at(commit: str, out: Path) -> Path:
    """Return the folder of the agent's packages as they were at *commit*, unpacked under *out*.

    Raises:
        LabError: This is no clone that knows *commit*; says what to type.
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        packed = _run(["git", "archive", commit, "agent"], Path(__file__).parents[3])
        _run(["tar", "-x", "-C", str(out)], out, packed)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        raise LabError(
            f"The agent of commit {commit} is not here ({said.decode(errors='replace').strip()}); "
            "type: git fetch --unshallow, in a clone of the source."
        ) from error
    return out / "agent"


def _run(words: list[str], folder: Path, given: bytes | None = None) -> bytes:
    return subprocess.run(words, cwd=folder, input=given, capture_output=True, check=True).stdout
