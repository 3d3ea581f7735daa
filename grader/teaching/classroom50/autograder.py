"""Classroom 50 runs this for each submission, in the student's checkout.

Next to it is lab/, a handout, and perhaps a file called stage with the numbers of the
stages that the assignment is about; without that file, it is about all of them.

Source: foundation50/classroom50, "Advanced Autograding" in its wiki. There, any status
but 0 is a failure of the autograder, so lost points (1) must not be one. The checkout
can have a grader, modules and a result of its own; we look only at its stages/.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_LAB = _HERE / "lab"
_RESULT = Path("result.json")


def main() -> int:
    """Set up, then grade the checkout in the working directory: exit status."""
    if _RESULT.exists() or _RESULT.is_symlink():
        _RESULT.unlink()  # the student's own: we have written none yet
    if status := subprocess.call(["sh", str(_LAB / "grader/setup.sh"), "grade"]):
        return status
    if status := _grader("isolation"):
        return status
    wanted = ["--submission", "stages", "--isolation", "required"]
    status = _grader("grade", *_stages(), *wanted, "--classroom50", str(_RESULT))
    if status in (0, 1) and not _RESULT.is_file():
        print("autograder: the grader left no result", file=sys.stderr)
        return 2
    return 0 if status == 1 else status


def _stages() -> list[str]:
    """The stages to grade, even if the checkout no longer has their folders."""
    chosen = _HERE / "stage"
    if chosen.exists():
        return chosen.read_text(encoding="utf-8").split()
    return sorted(folder.name for folder in (_LAB / "stages").iterdir())


def _grader(*arguments: str) -> int:
    """Run our grader with ARGUMENTS: exit status. It uses the distribution's Python,
    and no modules from the checkout (-P) or from the Python that runs this."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.call(
        ["/usr/bin/python3", "-P", "-m", "grader", *arguments],
        env={**own, "PYTHONPATH": str(_LAB)},
    )


if __name__ == "__main__":
    sys.exit(main())
