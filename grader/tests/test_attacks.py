"""Hostile submissions: each gets its verdict, reaches nothing, and leaves the machine
as it was.

attacks/NAME.c is the submission; attacks/attacks.toml says what it tries and what
happens to it. An attack that succeeds says BREACH where the lesson shows it.
contained.h makes sure that none acts outside a cell, even if the grader is broken.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grader import course
from grader.course import ROOT
from grader.tests.attacks.witness import Witnessed
from grader.tests.closing import show_at_the_end

ATTACKS = Path(__file__).with_name("attacks")
TABLE: dict[str, dict[str, Any]] = tomllib.loads((ATTACKS / "attacks.toml").read_text())
NAMES = sorted(TABLE)

# Two graders at once keep a processor busy; more would disturb each other.
AT_ONCE = 2 * (os.cpu_count() or 1)

# Attacks end by the grader's own limits, such as a minute for a build. This one is only
# for what hangs, so that no busy machine fails a test.
SECONDS = 300
CANARY = "secret-canary"

# What a program may use for a moment before it is ended, and what a compiler may use.
MOST_BYTES = (3 << 29) + (2 << 30)


@dataclass(frozen=True)
class Attacked:
    """The outcome of an attack: what the grader said, and the state of the machine
    before and after."""

    seen: Witnessed
    result: dict[str, Any]
    before: dict[str, object]
    after: dict[str, object]
    left_in_tmp: list[str]

    @property
    def stage(self) -> dict[str, Any]:
        """The one stage that was graded."""
        stage: dict[str, Any] = self.result["stages"][0]
        return stage

    def checks(self, status: str) -> set[str]:
        """The checks with STATUS."""
        return {c["id"] for c in self.stage["checks"] if c["status"] == status}


def _files(folder: Path) -> dict[str, object]:
    """Every file below FOLDER: its mode, its size, and when it was changed."""
    found: dict[str, object] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [
            f for f in folders if f not in (".git", "__pycache__") and "cache" not in f
        ]
        for name in [*folders, *names]:
            state = os.lstat(os.path.join(place, name))
            size = 0 if name in folders else state.st_size
            found[os.path.join(place, name)] = (state.st_mode, size, state.st_mtime_ns)
    return found


def _state(place: Path, repository: Path) -> dict[str, object]:
    """What no attack may change: the repository, the submission, and the home."""
    return _files(repository) | _files(place / "submission") | _files(place / "home")


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A folder that everybody can reach, including the sandbox user that runs programs
    for root; pytest's own folders are private."""
    with tempfile.TemporaryDirectory(prefix="attacks-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def place(room: Path) -> Path:
    """A new folder for one attack."""
    return Path(tempfile.mkdtemp(dir=room))


@pytest.fixture(scope="module")
def repository(room: Path) -> Path:
    """A copy of the repository that everybody may write to, but nobody should. It does
    not change when somebody edits the real one."""
    copy = room / "repository"
    kept_out = shutil.ignore_patterns("tests", "__pycache__")
    for folder in ("grader", "stages", "solutions"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=kept_out)
    # Create the folder for the grader's own files; what is in it does not matter.
    (copy / "grader" / ".gcc_cache").mkdir(exist_ok=True)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    return copy


def _defines(place: Path, repository: Path) -> str:
    """The definitions that contained.h needs."""
    values = {
        "HOST_PID_NS": os.readlink("/proc/self/ns/pid"),
        "HOST_NET_NS": os.readlink("/proc/self/ns/net"),
        "REPOSITORY": repository,
        "SOLUTION": repository / "solutions" / "1" / "tcp_server.c",
        "JSON_FILE": place / "out" / "result.json",
        "HOME_FOLDER": place / "home",
        "SUBMISSION": place / "submission",
    }
    return "".join(f'#define {name} "{value}"\n' for name, value in values.items())


def _submit(place: Path, repository: Path, stage: int, source: bytes) -> Path:
    """Submit SOURCE with the definitions in front of it; return the folder."""
    for folder in ("home", "tmp", "out"):
        (place / folder).mkdir(parents=True)
    place.chmod(0o755)
    (place / "tmp").chmod(0o1777)
    (place / "out").chmod(0o777)
    (place / "home" / "canary").write_text(CANARY)
    (place / "home" / "canary").chmod(0o666)
    header = (ATTACKS / "contained.h").read_bytes()
    text = source.replace(b'#include "contained.h"\n', header, 1)
    submitted = place / "submission" / str(stage)
    submitted.mkdir(parents=True)
    defines = _defines(place, repository).encode()
    (submitted / course.stage(stage).source).write_bytes(defines + text)
    return submitted


def _grade(
    place: Path,
    repository: Path,
    *arguments: str,
    folder: str = "submission",
) -> Attacked:
    """Have the grader in ROOT grade PLACE/FOLDER while a witness watches."""
    before = _state(place, repository)
    report = place / "out" / "result.json"
    command = ["/usr/bin/python3", str(ATTACKS / "witness.py"), str(SECONDS)]
    command += ["/usr/bin/python3", "-m", "grader", "grade"]
    command += ["--submission", str(place / folder), "--json", str(report)]
    environment = {
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(repository),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GITHUB_TOKEN": CANARY,
    }
    done = subprocess.run(
        [*command, *arguments],
        input=f"int {CANARY.replace('-', '_')};\n",
        cwd=repository,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=SECONDS + 60,
    )
    seen = Witnessed(**json.loads(done.stdout))
    result = json.loads(report.read_text()) if report.exists() else {}
    left = [str(path) for path in (place / "tmp").rglob("*")]
    return Attacked(seen, result, before, _state(place, repository), left)


def _attack(place: Path, repository: Path, name: str) -> Attacked:
    expected = TABLE[name]
    stage = expected.get("stage", 1)
    _submit(place, repository, stage, (ATTACKS / f"{name}.c").read_bytes())
    arguments = [str(stage), "--isolation", "required"]
    if only := expected.get("only", "start/listens"):
        arguments += ["--only", only]
    return _grade(place, repository, *arguments)


@pytest.fixture(scope="module")
def isolates() -> None:
    """Skip where programs cannot be isolated: nothing is promised there."""
    probe = subprocess.run(
        [
            "/usr/bin/python3",
            "-c",
            "from grader.sandbox.isolation import enter as e; e('required')",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if probe.returncode:
        said = probe.stderr.strip().splitlines()[-1:]
        pytest.skip(f"this system does not let us isolate: {''.join(said)}")


def _how_long(name: str) -> int:
    """A sort key: the longest ones first, so that none is waited for at the end."""
    return -int(TABLE[name].get("seconds", 0))


@pytest.fixture(scope="module")
def attacked(
    request: pytest.FixtureRequest, isolates: None, room: Path, repository: Path
) -> Iterator[dict[str, Future[Attacked]]]:
    """All attacks that were asked for, being graded in the background."""
    wanted = {
        str(item.callspec.params["name"])
        for item in request.session.items
        if item.path == request.path
        and hasattr(item, "callspec")
        and item.callspec.params.get("name") in TABLE
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = {
            name: pool.submit(_attack, room / name, repository, name)
            for name in sorted(wanted, key=_how_long)
        }
        yield verdicts
        pool.shutdown(cancel_futures=True)
    done = {n: v.result() for n, v in verdicts.items() if not v.cancelled()}
    title = "what becomes of hostile submissions"
    show_at_the_end(request.config, title, _table(done))


def _table(done: dict[str, Attacked]) -> str:
    """A line for each attack: its verdict, and the most memory that it had."""
    lines = [f"{'attack':<28}{'seconds':>8}{'MiB':>6}  verdict"]
    for name, attack in sorted(done.items()):
        if not attack.result:
            verdict = attack.seen.err.strip()
        elif attack.stage["status"] != "graded":
            verdict = attack.stage["status"]
        else:
            points = f"{attack.stage['score']} of {attack.stage['max_score']}"
            failed = [c for c in attack.stage["checks"] if c["status"] == "failed"]
            why = (
                failed[0]["evidence"].get("says") or failed[0]["message"]
                if failed
                else "it serves"
            )
            verdict = f"{points}: {why}"
        seconds, size = attack.seen.seconds, attack.seen.most_bytes >> 20
        lines.append(f"{name:<28}{seconds:>8.1f}{size:>6}  {verdict:.70}")
    return "\n".join(lines)


def _assert_machine_is_as_it_was(done: Attacked) -> None:
    assert not done.seen.timed_out, f"not done after {SECONDS} seconds"
    assert not done.seen.leftovers, "processes are left"
    assert not done.left_in_tmp, "files are left"
    changed = {
        path
        for path in done.before.keys() | done.after.keys()
        if done.before.get(path) != done.after.get(path)
    }
    assert not changed, "files were changed"
    assert done.seen.most_bytes < MOST_BYTES, f"{done.seen.most_bytes >> 20} MiB"


def _texts(result: object) -> Iterator[str]:
    """Every text in RESULT that a report shows, except the compiler's raw output."""
    if isinstance(result, dict):
        for key, value in result.items():
            if key != "build":
                yield from _texts(value)
    elif isinstance(result, list):
        for value in result:
            yield from _texts(value)
    elif isinstance(result, str):
        yield result


def _assert_harmless(text: str) -> None:
    """Expect no line of TEXT to be a command to GitHub's runner or to a terminal."""
    assert "##[" not in text
    for line in re.split(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text):
        assert not line.strip(" \t\ufeff\u200b\u00a0").startswith("::"), line
        assert not line.lstrip().startswith("::"), line
    # Cc: control characters. Cf: marks that reverse the writing direction, and so on.
    bad = {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf")}
    assert not bad


def _assert_nothing_was_reached(done: Attacked) -> None:
    said = done.seen.out + done.seen.err + json.dumps(done.result)
    assert "BREACH" not in said, re.findall(r"BREACH:[^\"\\]*", said)[:3]
    assert "refused: not contained" not in said, "it ran outside a cell"
    assert CANARY not in said and CANARY.replace("-", "_") not in said
    _assert_harmless(done.seen.out)
    _assert_harmless(done.seen.err)
    for text in _texts(done.result):
        _assert_harmless(text)


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_gets_its_verdict_and_reaches_nothing(
    attacked: dict[str, Future[Attacked]], name: str
) -> None:
    expected = TABLE[name]
    done = attacked[name].result()
    _assert_machine_is_as_it_was(done)
    assert done.result, done.seen.err
    _assert_nothing_was_reached(done)
    assert done.stage["status"] == expected.get("status", "graded"), done.seen.err
    must, may = set(expected.get("must", ())), set(expected.get("may", ()))
    failed = done.checks("failed")
    assert must <= failed <= must | may, {
        c["id"]: (c["message"], c["evidence"]) for c in done.stage["checks"]
    }
    assert not done.checks("error")
    assert done.seen.status == (
        0 if done.stage["score"] == done.stage["max_score"] else 1
    )
    passed = [m["name"] for m in done.stage["milestones"] if m["status"] == "passed"]
    assert set(passed) <= set(expected.get("milestones", ()))
    shown = done.stage["build"]["output"] + "".join(
        c["details"] for c in done.stage["checks"]
    )
    for words in expected.get("says", ()):
        assert words in " ".join(shown.split())


def test_every_attack_is_in_the_table_and_the_other_way_round() -> None:
    assert {path.stem for path in ATTACKS.glob("*.c")} == set(TABLE)


def test_there_are_at_least_thirty_attacks_each_with_a_comment() -> None:
    assert len(NAMES) >= 30
    for name in NAMES:
        assert (ATTACKS / f"{name}.c").read_text().startswith("/*"), name
        assert TABLE[name]["tries"], name


# ---- files beside the source -------------------------------------------------

RIGHT = b'#include "contained.h"\nint main(int c, char *v[]) { return serve(c, v); }\n'

_EXTRA = {
    "conftest.py": "import os\nprint('PWNED')\nos._exit(0)\n",
    "pytest.ini": "[pytest]\naddopts = --collect-only\n",
    "sitecustomize.py": "print('PWNED')\n",
    "usercustomize.py": "print('PWNED')\n",
    "test_more.py": "def test_it():\n    print('PWNED')\n",
    "Makefile": "$(shell touch PWNED)\nall: ; echo PWNED\n",
    "setup.cfg": "[tool:pytest]\naddopts = --version\n",
    "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--version'\n",
    "stdio.h": "#error PWNED\n",
    "grader/__init__.py": "print('PWNED')\n",
    "grader/__main__.py": "print('PWNED')\n",
    "json.py": "print('PWNED')\n",
    ".pytest_cache/v/cache/lastfailed": '{"start/listens": true}',
    "student.o": "no object\n",
    "program": "#!/bin/sh\necho PWNED\n",
    "1/ask_for_leaks.c": "#error PWNED\n",
}


def test_other_files_in_a_submission_have_no_effect(
    place: Path, isolates: None, repository: Path
) -> None:
    folder = _submit(place, repository, 1, RIGHT)
    for base in (folder, folder.parent):
        for name, text in _EXTRA.items():
            path = base / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
    os.symlink("/etc/passwd", folder / "link.h")
    os.mkfifo(folder / "fifo.h")
    wanted = ("1", "--isolation", "required", "--only", "start/listens")
    done = _grade(place, repository, *wanted)
    _assert_machine_is_as_it_was(done)
    _assert_nothing_was_reached(done)
    assert "PWNED" not in done.seen.out + done.seen.err + json.dumps(done.result)
    assert done.seen.status == 0


def _link(path: Path) -> None:
    path.symlink_to(ROOT / "solutions" / "1" / "tcp_server.c")


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(64 << 30)


def _socket(path: Path) -> None:
    os.mknod(path, 0o140666)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_link, "a link"),
        (os.mkfifo, "not a regular file"),
        (_huge, "larger than"),
        (Path.mkdir, "cannot be read"),
        (_socket, "cannot be read"),
    ],
    ids=["link", "fifo", "huge", "folder", "socket"],
)
@pytest.mark.parametrize("suffix", ["c", "h"])
def test_what_is_not_a_plain_file_is_refused_in_one_line(
    place: Path,
    repository: Path,
    make: Callable[[Path], None],
    words: str,
    suffix: str,
) -> None:
    folder = _submit(place, repository, 1, RIGHT)
    (folder / f"tcp_server.{suffix}").unlink(missing_ok=True)
    make(folder / f"tcp_server.{suffix}")
    done = _grade(place, repository, "1")
    _assert_machine_is_as_it_was(done)
    assert done.seen.status == 1
    assert done.stage["status"] == "missing"
    assert words in done.stage["build"]["output"]
    assert "\n" not in done.stage["build"]["output"].strip()
    assert words in done.seen.out


@pytest.mark.parametrize(
    "odd",
    ["\n::error::forged", "\x1b[2J\x1b]0;title\a", "--help", "##[error]x", "\udcff"],
    ids=["command", "escape", "option", "group", "no-text"],
)
def test_a_folder_with_an_odd_name_is_shown_harmlessly(
    place: Path, repository: Path, odd: str
) -> None:
    _submit(place, repository, 1, b"#error forged\nint main(void) { return x; }\n")
    (place / "submission").rename(place / odd)
    done = _grade(place, repository, "1", folder=odd)
    _assert_machine_is_as_it_was(done)
    _assert_harmless(done.seen.out)
    _assert_harmless(done.seen.err)
    assert done.stage["status"] == "build_failed"
    assert done.seen.status == 1
