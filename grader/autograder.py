"""The zip from which Gradescope makes its autograder: the handout, and two scripts.

Source: "Autograder Specifications" in Gradescope's documentation. The zip's files
come to lie in /autograder/source; setup.sh is run when the image is made, and
run_autograder for each submission.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

from grader import handout
from grader.failure import CannotGrade

_SCRIPTS = Path(__file__).with_name("gradescope")


def write(path: Path, stage: int | None) -> None:
    """Write the autograder for STAGE, or for whichever stages there are, to PATH.
    Raises CannotGrade if that cannot be."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        handout.write(root / "lab")
        (root / "stage").write_text(str(stage or ""))
        files = [*sorted((root / "lab").rglob("*")), root / "stage"]
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with zipfile.ZipFile(aside, "x", zipfile.ZIP_DEFLATED) as archive:
                for file in files:
                    archive.write(file, file.relative_to(root))
                for script in sorted(_SCRIPTS.iterdir()):
                    archive.write(script, script.name)
            os.replace(aside, path)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise CannotGrade(f"cannot write {path}: {error.strerror}") from None
