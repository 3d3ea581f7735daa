"""Golden files: the whole lesson for each wrong program, committed, so that a change of
wording is reviewed like code.

/usr/bin/python3 -m grader.tests.golden [--merge] [NAME ...]     (make golden)

stages/N/lessons/NAME.txt holds the lesson of the first check that the program must
fail. Numbers that vary between runs are replaced by words in capitals (see VARIES), and
a line with only ~ stands for any number of lines. --merge writes such a line wherever
this run's lesson differs from the file: use it for a program where chance decides what
is seen first.
"""

from __future__ import annotations

import difflib
import re
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from grader import course
from grader.errors import CannotGrade
from grader.lessons.lesson import WIDTH
from grader.tests import matrix
from grader.tests.conftest import Graded
from grader.tests.programs import STAGES, Program, programs

# The names of the stages' programs.
PROGRAMS = sorted({stage.program for stage in course.stages().values()})

# Applied in this order. Between machines, kernel buffers hold more or less, which moves
# the place where something goes wrong. Between runs, the end of the program may be seen
# before or after the failure; and the transcript of a program that sleeps now and then
# may be longer or shorter by the time we notice.
VARIES = (
    # A step that wraps onto further lines, indented under its first words.
    (r"\n {10,}(?=[^\s^])", " "),
    (r"^ +\d+\. +\d+ ms  ", "    N. TIME  "),
    (r"^.* sees the other side close\n", ""),
    (r"^.* the server half-closes: it sends no more\n", ""),
    (r"^Its standard error ends with:\n(?:  \[INFO\].*\n)+(?!  )", ""),
    (r"… \d+ steps left out …", "… N steps left out …"),
    (rf"(\b(?:{'|'.join(PROGRAMS)})\.c):\d+", r"\1:LINE"),
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

# Where many things happen at once, so much of the transcript is chance that we keep
# none of it, nor which bytes came back, how many, and to which client.
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
    (r"\bclient [A-Z]\b", "client N"),
    (r'begin with ".*"', 'begin with "BYTES"'),
    (r"(\(| on )descriptor \d+", r"\1descriptor N"),
    (r'due was ".*"', 'due was "BYTE"'),
)
AMOUNTS = re.compile(
    r"^(?:What is wrong|Expected|Got|The \w+ shows?): .*", re.MULTILINE
)

# A paragraph after its label, wrapped as lesson.py wraps it.
PARAGRAPH = re.compile(r"^\S[^\n:]*: \S.*(?:\n  \S.*)+", re.MULTILINE)


def path(program: Program) -> Path:
    """Where the golden file of PROGRAM is."""
    return STAGES / str(program.stage) / "lessons" / f"{program.name}.txt"


def lesson(program: Program, graded: Graded) -> str:
    """The first lesson that GRADED has for PROGRAM, without what varies. A check that
    was skipped, since one that it needs failed by chance, is graded by itself."""
    must = program.header.must
    first = next(id for id in course.stage(program.stage).checks if id in must)
    check = graded.checks(program.stage)[first]
    if check["status"] == "skipped":
        check = matrix.grade(program, only=first).checks(program.stage)[first]
    text = f"{check['requirement']} {check['title']}\n{check['details']}\n"
    return without_chance(text, CROWDED.fullmatch(first) is not None)


def without_chance(text: str, crowded: bool) -> str:
    """TEXT, a lesson, without what varies; much does if it is CROWDED."""
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
    """Whether TEXT matches the golden file; each ~ stands for any lines."""
    lines = golden.splitlines(keepends=True)
    wanted = (r"(?:.*\n)*?" if line == "~\n" else re.escape(line) for line in lines)
    return re.fullmatch("".join(wanted), text) is not None


def merged(text: str, golden: str) -> str:
    """The lines that TEXT and the golden file share, with ~ between them."""
    ours, theirs = golden.splitlines(), text.splitlines()
    common: list[str] = []
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for kind, begin, end, _, _ in matcher.get_opcodes():
        lines = ours[begin:end] if kind == "equal" else ["~"]
        common += lines[1:] if common[-1:] == lines[:1] == ["~"] else lines
    return "\n".join(common) + "\n"


def _write(program: Program, text: str, merge: bool) -> bool:
    """Write TEXT as the lesson for PROGRAM; return whether that changes anything."""
    file = path(program)
    known = file.read_text() if file.exists() else ""
    if fits(text, known):
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(merged(text, known) if merge and known else text)
    return True


def main(arguments: list[str]) -> int:
    """Write the golden files of all wrong programs, or of those with one of ARGUMENTS
    in their names, and say which have changed. Returns 0, or 2 if a program's header or
    patch is wrong."""
    merge, names = "--merge" in arguments, [a for a in arguments if a != "--merge"]
    chosen = matrix.named(programs("wrong"), names)
    try:
        matrix.expect_usable(chosen)
    except CannotGrade as reason:
        print(reason, file=sys.stderr)
        return 2
    with ThreadPoolExecutor(matrix.AT_ONCE) as pool:
        for program, graded in zip(chosen, pool.map(matrix.grade, chosen)):
            if _write(program, lesson(program, graded), merge):
                print(f"{path(program).relative_to(STAGES)} has changed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
