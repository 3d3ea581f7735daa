"""make watch, at a real terminal: every way of saving a file starts a grading, which
reports what changed. Nothing is left behind when it ends."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grader import course
from grader.course import ROOT
from grader.grading.order import in_order
from grader.kernel import procfs
from grader.tests import programs

SOLUTIONS = ROOT / "solutions"
WATCH = ["/usr/bin/env", "--default-signal=INT"]
WATCH += ["/usr/bin/python3", "-m", "grader", "watch"]
DONE = "Ctrl-C ends this."
ENDS_AT_ONCE = '#include "tcp_server.h"\nint main(void) { return 3; }\n'

SOLVED = (SOLUTIONS / "3/tcp_server.c").read_text()
SILENT = SOLVED.replace("[INFO] Server listening", "[INFO] Hello")
SILENT_AND_SLOW_TO_RETURN = SILENT.replace("SO_REUSEADDR", "SO_KEEPALIVE")
assert SILENT != SOLVED and SILENT_AND_SLOW_TO_RETURN != SILENT


class Watching:
    """`grader watch` at a terminal of its own; its temporary files go to TMP."""

    def __init__(self, command: list[str], tmp: Path) -> None:
        self._unread = ""
        self.all = ""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.environ |= {"TMPDIR": str(tmp), "LC_ALL": "C.UTF-8", "TERM": "xterm"}
            os.execv(command[0], command)
        self.settings = termios.tcgetattr(self._terminal)

    def until(self, words: str) -> str:
        """What it shows up to WORDS."""
        end = time.monotonic() + 120
        while words not in self._unread:
            assert time.monotonic() < end, f"no {words!r} in {self._unread!r}"
            if select.select([self._terminal], [], [], 1)[0]:
                piece = self._read()
                assert piece, f"it ended without {words!r}: {self._unread!r}"
                self._unread += piece
        said, found, self._unread = self._unread.partition(words)
        return said + found

    def _read(self) -> str:
        try:
            piece = os.read(self._terminal, 1 << 16).decode(errors="replace")
        except OSError:  # EIO: nobody writes there any more
            return ""
        self.all += piece
        return piece

    def graded(self) -> str:
        """What it shows until it waits for a save."""
        return self.until(DONE)

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def has_terminal_as_before(self) -> bool:
        return termios.tcgetattr(self._terminal) == self.settings

    def ends(self) -> int:
        """Wait until it ends by itself, and return its exit status."""
        while self._read():
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return status

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            self.ends()
        os.close(self._terminal)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name that everybody may read."""
    folder = Path(tempfile.mkdtemp(prefix="loop-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def tmp(short: Path) -> Path:
    """Where the grader puts its temporary files."""
    (short / "tmp").mkdir(mode=0o755)
    return short / "tmp"


@pytest.fixture
def watch(tmp: Path) -> Iterator[Callable[..., Watching]]:
    """Starts watching with the given arguments, or runs another COMMAND."""
    started = []

    def watch(*arguments: str | Path, command: list[str] = WATCH) -> Watching:
        started.append(Watching([*command, *map(str, arguments)], tmp))
        return started[-1]

    yield watch
    for watching in started:
        watching.close()


@pytest.fixture
def folder(short: Path) -> Path:
    """A submission that consists of the starters."""
    ignore = shutil.ignore_patterns("tcp_server", "tcp_client", "*.o")
    return Path(shutil.copytree(ROOT / "stages", short / "mine", ignore=ignore))


def source(folder: Path, stage: int) -> Path:
    return folder / str(stage) / course.stage(stage).source


def screen(said: str) -> list[str]:
    """The rows left on a terminal of 80 columns in the end."""
    drawn = said.rpartition("\x1b[H\x1b[2J")[2].replace("\r\n", "\n")
    lines = [line.rpartition("\r\x1b[K")[2] for line in drawn.split("\n")]
    plain = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line) for line in lines]
    return [line[at : at + 80] for line in plain for at in range(0, len(line) or 1, 80)]


def verdicts(said: str) -> dict[str, str]:
    """The last words of each line about a check, by the check's title."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", said)
    lines = re.findall(r"[✓✗!] +[\d.]+  (\S.*?)  +(\S.*?)\s*$", plain, re.MULTILINE)
    return dict(lines)


# -- saves -----------------------------------------------------------------------


def written_over(path: Path, text: str) -> None:
    """Save as nano does."""
    path.write_text(text)


def replaced(path: Path, text: str) -> None:
    """Save as Visual Studio Code or sed -i does."""
    new = path.with_name("new.tmp")
    new.write_text(text)
    os.replace(new, path)


def moved_out_of_the_way(path: Path, text: str) -> None:
    """Save as vim does, with its swap file, and a copy until all is written."""
    swap = path.with_name(f".{path.name}.swp")
    swap.write_text("swap")
    copy = path.with_name(f"{path.name}~")
    os.rename(path, copy)
    with open(path, "w") as file:
        for piece in (text[:5], text[5:]):
            file.write(piece)
            file.flush()
    copy.unlink()
    swap.unlink()


def test_however_it_is_saved_it_is_graded_once(
    watch: Callable[..., Watching], folder: Path
) -> None:
    path = source(folder, 3)
    path.write_text(ENDS_AT_ONCE)
    watching = watch("3", "--only", "start/listens", "--submission", folder)
    assert "exited with status 3" in watching.graded()
    for status, save in enumerate((written_over, replaced, moved_out_of_the_way), 4):
        save(path, ENDS_AT_ONCE.replace("3", str(status)))
        assert f"exited with status {status}" in watching.graded()
    header = path.with_suffix(".h")
    replaced(header, header.read_text() + "#error not like this\n")
    assert "#error not like this" in watching.graded()
    watching.type(b"\x03")
    assert watching.ends() == 0
    assert watching.all.count(DONE) == 5


def test_what_is_taken_away_is_waited_for(
    watch: Callable[..., Watching], folder: Path
) -> None:
    path = source(folder, 3)
    watching = watch("3", "--only", "start/listens", "--submission", folder)
    watching.graded()
    path.unlink()
    watching.until("waiting for it.")
    path.write_text(ENDS_AT_ONCE)
    assert "exited with status 3" in watching.graded()
    shutil.rmtree(path.parent)
    watching.until("waiting for it.")
    path.parent.mkdir()
    path.write_text(ENDS_AT_ONCE.replace("3", "4"))
    assert "exited with status 4" in watching.graded()
    path.write_text(ENDS_AT_ONCE)
    assert "exited with status 3" in watching.graded()
    shutil.rmtree(folder)
    watching.until(f"grader: no folder {folder}")
    assert watching.ends() == 2


# -- what it reports --------------------------------------------------------------


def test_it_tells_what_is_mended_what_is_still_wrong_and_what_broke_anew(
    watch: Callable[..., Watching], folder: Path
) -> None:
    path = source(folder, 3)
    path.write_text(SILENT)
    watching = watch("3", "--only", "start", "--submission", folder)
    announces = "says that it listens, and that a client came"
    restart = "can be started again at once on the same port"
    first = watching.graded()
    assert verdicts(first) == {announces: "wrong"}
    assert "/6] " in first  # while it is running

    path.write_text(SILENT_AND_SLOW_TO_RETURN)
    second = watching.graded()
    assert verdicts(second) == {announces: "still wrong", restart: "broke anew"}
    seen = "\n".join(screen(second))
    assert seen.count("Requirement 3.") == seen.count("Again:") == 1
    assert "ONLY=start/announces" in seen
    assert "5/8, 2 fewer than before" in second

    path.write_text(SOLVED)
    third = watching.graded()
    assert verdicts(third) == {announces: "mended", restart: "mended"}
    assert "Requirement" not in third
    assert "8/8, 3 more than before" in third
    assert "is complete" not in third  # these are not all of its checks


def test_what_could_not_be_tried_is_counted(
    watch: Callable[..., Watching], folder: Path
) -> None:
    path = source(folder, 3)
    watching = watch("3", "--only", "start", "--submission", folder)
    assert "5 more wait for what is wrong here" in watching.graded()
    path.write_text(SOLVED)
    assert "5 more can be tried now, and pass" in watching.graded()


def test_a_bad_compile_shows_the_line_first(
    watch: Callable[..., Watching], folder: Path
) -> None:
    path = source(folder, 3)
    path.write_text("int f(int unused) { int x; }\nint main(void) { return y; }\n")
    watching = watch("3", "--submission", folder)
    said = watching.graded().partition("it does not compile:")[2].split("\n")
    assert f"    {path}:2:25: error: 'y' undeclared" in said[1]
    path.write_text(SILENT)
    assert "compile:" not in watching.until("wrong")


def test_all_that_is_told_is_on_a_screen_of_24_rows(
    watch: Callable[..., Watching], folder: Path
) -> None:
    path = source(folder, 3)
    wrong = programs.find("3/first_message_only").text
    path.write_text(wrong)
    watching = watch("3", "--submission", folder)
    watching.graded()
    path.write_text(wrong + "\n")
    seen = screen(watching.graded())
    assert len(seen) <= 24 and seen[0] == f"Stage 3: {path}"
    text = "\n".join(seen)
    order = ("still wrong", "more wait for", "Requirement 3.", "Read on:", "Stage 3 (")
    places = [text.index(words) for words in (*order, DONE)]
    assert places == sorted(places)


def test_the_first_error_is_on_the_screen_however_many_follow(
    watch: Callable[..., Watching], folder: Path
) -> None:
    path = source(folder, 3)
    names = [f"there_is_no_such_variable_with_a_long_name_{n}" * 2 for n in range(30)]
    path.write_text("int main(void) { return " + ";\n".join(names) + "; }\n")
    watching = watch("3", "--submission", folder)
    seen = screen(watching.graded())
    assert len(seen) <= 24 and "it does not compile:" in seen[1]
    assert seen[2].startswith(f"    {path}:1:25: error:")
    assert any(line.endswith("more lines") for line in seen)


def test_when_all_is_well_the_next_stage_follows(
    watch: Callable[..., Watching], folder: Path
) -> None:
    shutil.copy(source(SOLUTIONS, 1), source(folder, 1))
    watching = watch("--submission", folder)
    watching.until("100/100")
    said = watching.graded()
    assert "Stage 1 is complete. Next: stages/2/README.md" in screen(said)
    assert "Stage 2 (tcp_client.c): 0/100" in said
    assert "→ parse_port is the next step: stages/2/README.md, step 1" in said
    source(folder, 2).write_text("int main(void) { return x; }\n")
    assert "it does not compile" in watching.graded()


def test_a_grader_that_fails_is_told_and_the_watch_goes_on(
    watch: Callable[..., Watching], folder: Path, tmp: Path
) -> None:
    watching = watch("3", "--only", "start/listens", "--submission", folder)
    watching.graded()
    (place,) = tmp.glob("echolab-*")
    place.rename(tmp / "elsewhere")
    source(folder, 3).write_text(ENDS_AT_ONCE)
    assert f"grader: cannot write {place}" in " ".join(watching.graded().split())
    (tmp / "elsewhere").rename(place)
    source(folder, 3).write_text(ENDS_AT_ONCE.replace("3", "4"))
    assert "exited with status 4" in watching.graded()


# -- how it ends -----------------------------------------------------------------


def family_of(pid: int) -> list[int]:
    return [member for member in procfs.tree(pid) if member != pid]


def expect_gone(family: list[int]) -> None:
    end = time.monotonic() + 60
    while any(map(procfs.tasks, family)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(procfs.tasks, family))


def test_a_save_in_the_middle_of_a_grading_ends_that_one(
    watch: Callable[..., Watching], folder: Path
) -> None:
    path = source(folder, 1)
    shutil.copy(source(SOLUTIONS, 1), path)
    watching = watch("1", "--submission", folder)
    watching.until("/16]")
    family = family_of(watching.pid)
    assert family
    path.write_text("int main(void) { return x; }\n")
    said = watching.graded()
    assert "it does not compile" in said and "100/100" not in said
    expect_gone(family)


@pytest.mark.parametrize("when", ["while it grades", "while it waits"])
def test_ctrl_c_leaves_nothing_behind(
    watch: Callable[..., Watching], folder: Path, tmp: Path, when: str
) -> None:
    shutil.copy(source(SOLUTIONS, 3), source(folder, 3))
    watching = watch("3", "--submission", folder, "--only", "echo")
    watching.until("/6]" if when == "while it grades" else DONE)
    family = family_of(watching.pid)
    assert bool(family) == (when == "while it grades")
    watching.type(b"\x03")
    assert watching.ends() == 0
    expect_gone(family)
    assert list(tmp.iterdir()) == []
    assert watching.has_terminal_as_before()
    assert watching.all.endswith("\r\x1b[K")
    assert "\x1b[?" not in watching.all  # no hidden cursor, no other screen
    assert "Traceback" not in watching.all and "interrupted" not in watching.all


def test_whoever_kills_it_gets_rid_of_its_grading_too(
    watch: Callable[..., Watching], folder: Path
) -> None:
    shutil.copy(source(SOLUTIONS, 1), source(folder, 1))
    watching = watch("1", "--submission", folder)
    watching.until("/16]")
    family = family_of(watching.pid)
    os.kill(watching.pid, signal.SIGKILL)
    assert watching.ends() == -signal.SIGKILL
    expect_gone(family)


def test_make_watch_ends_by_ctrl_c_without_complaint(
    watch: Callable[..., Watching], folder: Path
) -> None:
    inherited = [f"--unset={name}" for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")]
    make = ["/usr/bin/env", "--default-signal=INT", *inherited, "make", "watch"]
    watching = watch("STAGE=3", "ONLY=start", f"SUBMISSION={folder}", command=make)
    assert "0/8" in watching.graded()
    watching.type(b"\x03")
    watching.ends()
    assert "Error" not in watching.all


# -- without a terminal ----------------------------------------------------------


def test_in_a_pipe_there_are_plain_lines(folder: Path) -> None:
    with subprocess.Popen(
        [*WATCH, "3", "--only", "start", "--submission", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout
        said = []
        for line in watching.stdout:
            said.append(line.rstrip("\n"))
            if DONE in line:
                break
        watching.send_signal(signal.SIGINT)
        rest, err = watching.communicate(timeout=60)
    assert (watching.returncode, rest, err) == (0, "", "")
    assert "Stage 3 (tcp_server.c): 0/8" in said
    assert "\x1b" not in "".join(said) and "\r" not in "".join(said)
    lessons = [n for n, line in enumerate(said) if "Requirement" in line]
    assert lessons and not any(line.endswith(" wrong") for line in said[lessons[0] :])
    assert max(len(line) for line in said if "Again:" not in line) <= 80


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["4"], "there is no stage '4'"),
        (["1", "3"], "unrecognized arguments: 3"),
        (["--submission", "/nowhere"], "no folder /nowhere"),
        (["--submission", "/usr/share"], "has none of the folders"),
        (["1", "--only", "epoll"], "stage 1 has no check 'epoll'"),
        (["2", "--submission", "{folder}"], "no folder {folder}/2"),
    ],
)
def test_what_cannot_be_watched_is_said_in_one_line(
    folder: Path, arguments: list[str], words: str
) -> None:
    shutil.rmtree(folder / "2")
    done = subprocess.run(
        [*WATCH, *(argument.format(folder=folder) for argument in arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert words.format(folder=folder) in done.stderr
    assert done.stderr.count("\n") == 1


# -- the order of the checks -----------------------------------------------------


def test_what_comes_first_comes_after_what_it_builds_on() -> None:
    checks = course.stage(3).checks
    assert list(in_order(checks, ())) == list(checks)
    ordered = list(in_order(checks, ("resources/idle", "blocking/memory", "x")))
    assert sorted(ordered) == sorted(checks)
    assert ordered[:6] == [
        "start/listens",
        "echo/line",
        "concurrency/idle_client",
        "blocking/never_reads",
        "blocking/memory",
        "resources/idle",
    ]
    chosen = course.stage(3).select("blocking")
    assert next(iter(in_order(chosen, ("blocking/memory",)))) in chosen
