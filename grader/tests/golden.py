"""Golden files: the whole lesson that each wrong program is taught, committed, so
that a change to the words is reviewed like code.

/usr/bin/python3 -m grader.tests.golden [NAME ...]     (make golden)

golden/STAGE/NAME.txt has the lesson of the first check that the program must fail.
What varies from run to run stands there as a word in capitals: see VARIES.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from grader import rubric
from grader.tests import matrix
from grader.tests.conftest import Graded
from grader.tests.matrix import Program

GOLDEN = Path(__file__).with_name("golden")

# In this order. Whoever is hit in a crowd, and how much fits into the kernel's
# buffers, is a matter of chance; who and how much it is not in a story of two.
VARIES = (
    (r"^( +)\d+\.( +)\d+ ms  ", r"\1N. TIME  "),
    (r"\bport 2\d{4}\b", "port PORT"),
    (r"\d+ steps? left out", "STEPS left out"),
    (r"\bclient \d+\b( \w+ \d+ bytes: )\".*\"", r'client N\1"BYTES"'),
    (r"\bclient \d+\b", "client N"),
    (r"\d+\.\d+ s\b", "SECONDS s"),
    (r"\b\d{5,}\b", "MANY"),
)


def path(program: Program) -> Path:
    """Where the golden file of PROGRAM is."""
    return GOLDEN / str(program.stage) / f"{program.name}.txt"


def lesson(program: Program, graded: Graded) -> str:
    """What GRADED teaches PROGRAM first, without what varies."""
    must = program.expected["must"]
    first = next(id for id in rubric.load(program.stage).checks if id in must)
    check = graded.checks(program.stage)[first]
    text = f"{check['requirement']} {check['title']}\n{check['details']}\n"
    for pattern, word in VARIES:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text


def main(names: Iterable[str]) -> int:
    """Write the golden files of all wrong programs, or of those that have one of
    NAMES in theirs, and say which have changed."""
    chosen = [
        program
        for program in matrix.programs("wrong")
        if not names or any(name in str(program) for name in names)
    ]
    with ThreadPoolExecutor(matrix.AT_ONCE) as pool:
        for program, graded in zip(chosen, pool.map(matrix.grade, chosen)):
            text, file = lesson(program, graded), path(program)
            if not file.exists() or file.read_text() != text:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
                print(f"{file.relative_to(GOLDEN)} has changed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
