"""Golden files: the whole lesson that each wrong program is taught, committed, so
that a change to the words is reviewed like code.

/usr/bin/python3 -m grader.tests.golden [--merge] [NAME ...]     (make golden)

golden/STAGE/NAME.txt has the lesson of the first check that the program must fail.
Numbers that vary from run to run are words in capitals there (see VARIES), and a line
with nothing but ~ stands for whatever lines come. --merge writes such a line wherever
this run's lesson differs from the file: for a program of whom it is a matter of chance
what is seen first.
"""

from __future__ import annotations

import difflib
import re
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from grader import rubric
from grader.lesson import WIDTH
from grader.tests import matrix
from grader.tests.conftest import Graded
from grader.tests.matrix import Program

GOLDEN = Path(__file__).with_name("golden")

# In this order. How much fits into the kernel's buffers differs from one machine to
# the next, and with it where something went wrong; and whether the end of the program
# is seen before the failure is a matter of who is faster; so is how long the story of
# someone who nods off now and then has become by the time that it is seen.
VARIES = (
    # A step that goes on in further lines, under its first words.
    (r"\n {10,}(?=[^\s^])", " "),
    (r"^ +\d+\. +\d+ ms  ", "    N. TIME  "),
    (r"^.* sees the other side close\n", ""),
    (r"^.* the server half-closes: it sends no more\n", ""),
    (r"^Its standard error ends with:\n(?:  \[INFO\].*\n)+(?!  )", ""),
    (r"… \d+ steps left out …", "… N steps left out …"),
    (r"\bport 2\d{4}\b", "port PORT"),
    (r'"2\d{4}a"', '"PORTa"'),
    (r"\bclient \d+\b", "client N"),
    (r"\d+\.\d+ s\b", "SECONDS s"),
    (r"\b(?!65535|65536|70000)\d{5,}\b", "MANY"),
    (
        r"^Expected: .*\nGot: .*\n +\^ offset MANY",
        'Expected: "BYTES"\nGot:      "BYTES"\n          ^ offset MANY',
    ),
    (r"^(Again: .*) SUBMISSION=\S+", r"\1"),
)

# Where many things go on at once, so much of the story is chance that none is kept,
# nor how many bytes, and which, came back.
CROWDED = re.compile(
    "echo/large|concurrency/(thousand|burst|any_order|interleaved)|lifecycle/.*"
    "|resources/.*|blocking/(slow_reader|half_close|memory)|one_client/.*"
    "|memory/.*"
)
CHANCE = (
    (r"(?<=^What was done:\n)(?: {2,}.*\n)+", "~\n"),
    (
        r"^Expected: .*\nGot: .*\n +\^ offset \d+",
        'Expected: "BYTES"\nGot:      "BYTES"\n          ^ offset MANY',
    ),
    (r'"[^"\n]+" was sent by', '"BYTES" was sent by'),
    (r'begin with ".*"', 'begin with "BYTES"'),
    (r"(\(| on )descriptor \d+", r"\1descriptor N"),
    (r'due was ".*"', 'due was "BYTE"'),
)
AMOUNTS = re.compile(
    r"^(?:What is wrong|Expected|Got|The \w+ shows?): .*", re.MULTILINE
)

# A paragraph after its label, broken into lines as lesson.py does.
PARAGRAPH = re.compile(r"^\S[^\n:]*: \S.*(?:\n  \S.*)+", re.MULTILINE)


def path(program: Program) -> Path:
    """Where the golden file of PROGRAM is."""
    return GOLDEN / str(program.stage) / f"{program.name}.txt"


def lesson(program: Program, graded: Graded) -> str:
    """What GRADED teaches PROGRAM first, without what varies."""
    must = program.expected["must"]
    first = next(id for id in rubric.load(program.stage).checks if id in must)
    check = graded.checks(program.stage)[first]
    text = f"{check['requirement']} {check['title']}\n{check['details']}\n"
    return without_chance(text, CROWDED.fullmatch(first) is not None)


def without_chance(text: str, crowded: bool) -> str:
    """TEXT, a lesson, without what varies; CROWDED says that much does."""
    text = PARAGRAPH.sub(lambda lines: lines[0].replace("\n  ", " "), text)
    for pattern, word in VARIES + (CHANCE if crowded else ()):
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    if crowded:
        text = AMOUNTS.sub(lambda line: re.sub(r"\d+|MANY", "N", line[0]), text)
    return "".join(_broken(line) for line in text.splitlines(keepends=True))


def _broken(line: str) -> str:
    if len(line) <= WIDTH + 1 or line.startswith(" "):
        return line
    return textwrap.fill(line, WIDTH, subsequent_indent="  ") + "\n"


def fits(text: str, golden: str) -> bool:
    """Whether TEXT is what the golden file says, whatever stands for each ~."""
    lines = golden.splitlines(keepends=True)
    wanted = (r"(?:.*\n)*?" if line == "~\n" else re.escape(line) for line in lines)
    return re.fullmatch("".join(wanted), text) is not None


def merged(text: str, golden: str) -> str:
    """The lines that TEXT and the golden file have in common, and ~ between them."""
    ours, theirs = golden.splitlines(), text.splitlines()
    common: list[str] = []
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for kind, begin, end, _, _ in matcher.get_opcodes():
        lines = ours[begin:end] if kind == "equal" else ["~"]
        common += lines[1:] if common[-1:] == lines[:1] == ["~"] else lines
    return "\n".join(common) + "\n"


def _write(program: Program, text: str, merge: bool) -> bool:
    """Write TEXT down as what PROGRAM is taught: whether that is news."""
    file = path(program)
    known = file.read_text() if file.exists() else ""
    if fits(text, known):
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(merged(text, known) if merge and known else text)
    return True


def main(arguments: list[str]) -> int:
    """Write the golden files of all wrong programs, or of those that have one of
    ARGUMENTS in their names, and say which have changed."""
    merge, names = "--merge" in arguments, [a for a in arguments if a != "--merge"]
    chosen = matrix.named(matrix.programs("wrong"), names)
    with ThreadPoolExecutor(matrix.AT_ONCE) as pool:
        for program, graded in zip(chosen, pool.map(matrix.grade, chosen)):
            if _write(program, lesson(program, graded), merge):
                print(f"{path(program).relative_to(GOLDEN)} has changed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
