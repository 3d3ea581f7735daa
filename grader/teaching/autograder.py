"""The zip that Gradescope makes an autograder from: the handout and two scripts.

Source: "Autograder Specifications" in Gradescope's documentation. Gradescope unpacks
the zip into /autograder/source. It runs setup.sh when it makes the image, and
run_autograder for each submission.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

from grader.errors import CannotGrade
from grader.teaching import handout

_SCRIPTS = Path(__file__).with_name("gradescope")


def write(path: Path, stage: int | None) -> list[str]:
    """Write the autograder for STAGE, or for whichever stages a submission has, to
    PATH: lines for the user. Raises CannotGrade if that is not possible."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _, *notes = handout.write(root / "lab")
        if stage and not (root / "lab/stages" / str(stage)).is_dir():
            what = "and the autograder is made from the last commit"
            raise CannotGrade(f"stage {stage} is not committed, {what}")
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
    return [f"{path}: upload it as the autograder of an assignment", *notes]
