"""The handout, made from a copy of this repository: it has all that students need,
nothing that would spoil it for them, and no link to what is missing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from grader import course
from grader.course import ROOT
from grader.tests import toy

RUN = 5  # this many consecutive lines of code are not the same by chance


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "gc.auto=0"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, timeout=60)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository as it is now, with everything committed."""
    house = tmp_path_factory.mktemp("house") / "echo-lab"
    left_out = shutil.ignore_patterns(".git", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, house, ignore=left_out)
    git(house, "init", "--quiet")
    git(house, "add", "--all")
    git(house, "commit", "--quiet", "-m", "all")
    return house


@pytest.fixture(scope="module")
def handout(committed: Path) -> Path:
    """The handout of that copy."""
    folder = committed.parent / "handout"
    done = make_handout(committed, folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    return folder


@pytest.fixture
def house(committed: Path, tmp_path: Path) -> Path:
    """A copy of that copy, to change."""
    return Path(shutil.copytree(committed, tmp_path / "echo-lab"))


def make_handout(
    house: Path, folder: Path, launcher: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = ["/usr/bin/python3", "-m", "grader", "handout", str(folder)]
    return subprocess.run(
        [*(launcher or []), *command],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    inherited = {k: v for k, v in os.environ.items() if k not in own}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=inherited,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def targets(folder: Path) -> set[str]:
    """The targets in the Makefile of FOLDER, if it has one."""
    makefiles = (path.read_text() for path in folder.glob("Makefile"))
    return set(re.findall(r"^([a-z-]+):", "".join(makefiles), re.MULTILINE))


def code(path: Path) -> list[str]:
    """The lines of PATH that took some thought."""
    lines = (line.strip() for line in path.read_text(errors="replace").splitlines())
    trivial = re.compile(r"\W*|(#include|/\*|\*).*|(return|break|else|default)\W.*")
    return [line for line in lines if not trivial.fullmatch(line)]


def runs(lines: list[str]) -> set[tuple[str, ...]]:
    return {tuple(lines[at : at + RUN]) for at in range(len(lines) - RUN + 1)}


# -- what is in it, and what is not ---------------------------------------------


def test_students_get_stages_as_they_are(handout: Path) -> None:
    for stage in ("1", "2", "3"):
        ours = files(ROOT / "stages" / stage)
        given = [path for path in ours if path.suffix in (".c", ".h", ".md", ".svg")]
        assert len(given) >= 3
        for path in given:
            theirs = handout / path.relative_to(ROOT)
            assert theirs.read_bytes() == path.read_bytes()
    assert os.access(handout / "grader/setup.sh", os.X_OK)
    assert not os.access(handout / "README.md", os.X_OK)


def test_no_solution_and_no_program_of_our_tests_is_in_it(handout: Path) -> None:
    spoilers = files(ROOT / "solutions") + [
        path
        for folder in ("stages", "attacks")
        for path in files(ROOT / "grader/tests" / folder)
    ]
    assert len(spoilers) > 100
    contents = {path.read_bytes() for path in spoilers}
    for path in files(handout):
        assert path.read_bytes() not in contents, path


def test_nothing_in_it_has_lines_of_a_solution(handout: Path) -> None:
    solved = {r for path in ROOT.glob("solutions/*/*.c") for r in runs(code(path))}
    assert len(solved) > 100
    for path in files(handout):
        assert not runs(code(path)) & solved, path


def test_it_names_nothing_that_is_not_there(handout: Path) -> None:
    pages = [path for path in files(handout) if path.suffix == ".md"]
    assert len(pages) >= 4
    for page in pages:
        text = page.read_text()
        assert "solutions" not in text and "not in a handout" not in text
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)|src=\"([^\"]+)\"", text):
            target = link[0] or link[1]
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"
        for target in re.findall(r"^    make ([a-z-]+)", text, re.MULTILINE):
            assert target in targets(handout) | targets(page.parent), target


def test_its_workflows_call_what_it_can_make(handout: Path) -> None:
    workflows = handout / ".github" / "workflows"
    assert {path.name for path in files(workflows)} == {"grade.yml", "report.yml"}
    for workflow in files(workflows):
        called = re.findall(r"run: make -C base ([a-z-]+)", workflow.read_text())
        assert called and set(called) <= targets(handout)


# -- it works -------------------------------------------------------------------


def test_make_lists_what_students_can_do_and_refuses_the_rest(handout: Path) -> None:
    listed = re.findall(r"^make ([a-z-]+)", make(handout).stdout, re.MULTILINE)
    assert {"help", "setup", "grade", "clean"} <= set(listed)
    assert not {"solutions", "test", "handout", "lint", "flake"} & set(listed)
    for target in ("solutions", "test", "lint"):
        done = make(handout, target)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_it_grades_as_the_repository_does(handout: Path) -> None:
    done = make(handout, "setup", "grade", "ONLY=start")
    here = make(ROOT, "grade", "SUBMISSION=stages", "ONLY=start")
    assert done.stdout.partition("\n")[2] == here.stdout
    assert done.returncode == here.returncode == 2  # make's, for lost points
    assert "Stage 3 (tcp_server.c): 0/" in done.stdout
    inside = make(handout / "stages/1", "grade", "ONLY=start/listens")
    assert "Stage 1 (tcp_server.c): 0/10" in inside.stdout


def test_it_watches_as_well(handout: Path) -> None:
    with subprocess.Popen(
        ["/usr/bin/env", "--default-signal=INT", "make", "watch", "ONLY=connect"],
        cwd=handout / "stages/2",
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as watching:
        assert watching.stdout
        said = next(line for line in watching.stdout if line.startswith("Stage 2 ("))
        os.killpg(watching.pid, signal.SIGINT)
    assert said == "Stage 2 (tcp_client.c): 0/24\n"


# -- where it is written ----------------------------------------------------------


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr.startswith("grader: ") and done.stderr.count("\n") == 1, done
    return done.stderr


def test_an_empty_folder_will_do(committed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    assert make_handout(committed, folder).returncode == 0
    assert (folder / "README.md").exists()


def test_a_folder_that_must_not_be_written_to_is_refused(house: Path) -> None:
    full = house.parent / "full"
    full.mkdir()
    (full / "mine").touch()
    way_in = house.parent / "way_in"
    way_in.symlink_to(house)
    refused = {
        full: "is not empty",
        full / "mine": "Not a directory",
        full / "mine/new": "no folder",
        full / "no/new": "no folder",
        house / "new": "inside this repository",
        way_in / "new": "inside this repository",
        house: "inside this repository",
        Path("/proc/new"): "cannot write /proc/new",
    }
    for folder, words in refused.items():
        assert words in refusal(make_handout(house, folder)), folder
    assert os.listdir(full) == ["mine"]
    assert sorted(os.listdir(house.parent)) == ["echo-lab", "full", "way_in"]
    assert not (house / "new").exists()


def test_a_handout_that_does_not_fit_leaves_nothing_behind(
    committed: Path, tmp_path: Path
) -> None:
    within_bounds = ["/usr/bin/prlimit", "--fsize=12000"]
    said = refusal(make_handout(committed, tmp_path / "new", within_bounds))
    assert "File too large" in said
    assert os.listdir(tmp_path) == []


# -- where it comes from -----------------------------------------------------------


def test_work_in_progress_is_not_handed_out(house: Path) -> None:
    source = house / "stages/3/tcp_server.c"
    starter = source.read_text()
    source.write_text("/* solved */\n" + starter)
    (house / "stages/3/notes.txt").write_text("the trick is")
    folder = house.parent / "new"
    done = make_handout(house, folder)
    assert (folder / "stages/3/tcp_server.c").read_text() == starter
    assert not (folder / "stages/3/notes.txt").exists()
    told = "changes to stages/3/tcp_server.c and 1 more are not in it"
    assert done.returncode == 0 and told in done.stdout


def test_what_is_not_committed_is_not_in_the_autograder(house: Path) -> None:
    new = max(course.stages()) + 1
    toy.add_to(house, new)
    done = make(house, "gradescope", "FILE=a.zip")
    assert done.returncode == 0 and "It is as committed: changes to" in done.stdout
    done = make(house, "gradescope", "FILE=b.zip", f"STAGE={new}")
    assert f"grader: stage {new} is not committed" in done.stderr
    assert done.returncode == 2 and not (house / "b.zip").exists()


def test_a_solution_in_stages_is_refused(house: Path) -> None:
    shutil.copy(house / "solutions/1/tcp_server.c", house / "stages/1/tcp_server.c")
    git(house, "commit", "--quiet", "-am", "solved")
    said = refusal(make_handout(house, house.parent / "new"))
    assert "stages/1/tcp_server.c is the same as solutions/1/tcp_server.c" in said


def test_a_repository_inside_another_one_is_handed_out_as_committed(
    house: Path, handout: Path
) -> None:
    course = house.parent
    shutil.rmtree(house / ".git")
    git(course, "init", "--quiet")
    git(course, "add", "--all")
    git(course, "commit", "--quiet", "-m", "the course")
    (house / "stages/1/tcp_server.c").write_text("solved")
    folder = course / "new"
    done = make_handout(house, folder)
    assert "changes to stages/1/tcp_server.c are not in it" in done.stdout
    assert _contents(folder) == _contents(handout)


def test_without_a_repository_all_is_taken_but_what_git_would_ignore(
    house: Path, handout: Path
) -> None:
    shutil.rmtree(house / ".git")
    for built in ("stages/1/tcp_server", "stages/2/tcp_client", "stages/3/x.o"):
        (house / built).write_text("built")
    (house / "grader/__pycache__").mkdir(exist_ok=True)
    (house / "grader/__pycache__/cli.pyc").write_text("built")
    folder = house.parent / "new"
    done = make_handout(house, folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no git repository" in done.stdout
    assert _contents(folder) == _contents(handout)


def test_without_a_repository_gitignore_means_what_it_means_to_git(house: Path) -> None:
    shutil.rmtree(house / ".git")
    with open(house / ".gitignore", "a") as ignored:
        ignored.write("/stages/**/notes/\n*.txt\n!keep.txt\nodd\\ name\n")
    (house / "stages/2/.gitignore").write_text("key.md\n")
    kept = ["stages/1/keep.txt", "stages/1/key.md", "stages/notes.md"]
    left = ["stages/1/drop.txt", "stages/2/key.md", "stages/3/notes/a.md"]
    left += ["stages/1/odd name"]
    for name in kept + left:
        (house / name).parent.mkdir(exist_ok=True)
        (house / name).write_text("mine")
    users = house.parent / "config/git/ignore"
    users.parent.mkdir(parents=True)
    users.write_text("key.md\n")
    folder = house.parent / "new"
    at_home = ["/usr/bin/env", f"XDG_CONFIG_HOME={house.parent}/config"]
    done = make_handout(house, folder, at_home)
    assert (done.returncode, done.stderr) == (0, "")
    assert {name for name in kept + left if (folder / name).exists()} == set(kept)


def test_without_a_repository_another_one_inside_is_not_passed_over(
    house: Path,
) -> None:
    shutil.rmtree(house / ".git")
    git(house / "stages", "init", "--quiet")
    said = refusal(make_handout(house, house.parent / "new"))
    assert "stages/ is a git repository of its own" in said


@pytest.mark.parametrize("repository", [True, False])
def test_a_missing_git_is_told(house: Path, repository: bool) -> None:
    if not repository:
        shutil.rmtree(house / ".git")
    without = ["/usr/bin/env", "PATH=/nonexistent"]
    said = refusal(make_handout(house, house.parent / "new", without))
    assert "git is not installed" in said


def _contents(folder: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), os.access(path, os.X_OK))
        for path in files(folder)
        if "__pycache__" not in path.parts
    }


def test_a_git_repository_that_cannot_be_read_is_told(house: Path) -> None:
    shutil.rmtree(house / ".git")
    git(house, "init", "--quiet")  # without a commit
    assert "git: fatal: " in refusal(make_handout(house, house.parent / "new"))


@pytest.mark.parametrize("mark", ["not in a handout", "in a handout again"])
def test_a_mark_without_its_other_half_is_told(house: Path, mark: str) -> None:
    with open(house / "README.md", "a") as readme:
        readme.write(f"\n<!-- {mark} -->\n")
    git(house, "commit", "--quiet", "-am", "half a mark")
    said = refusal(make_handout(house, house.parent / "new"))
    assert "README.md" in said and "in a handout again" in said
