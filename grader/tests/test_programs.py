"""The grader is graded: each wrong program loses what its mistake costs, and says
why; each unusual but right one loses nothing.

programs/wrong.toml has for each wrong program the checks that it must fail, those
that it may fail, and words that the lesson of a failed check must contain. All
others must pass, or be skipped because of a failed one.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from grader.submission import STAGES
from grader.tests.conftest import Graded, run_grader

PROGRAMS = Path(__file__).with_name("programs")
TABLE: dict[str, dict[str, Any]] = tomllib.loads((PROGRAMS / "wrong.toml").read_text())

# Grading is mostly waiting: more runs than processors share them well.
AT_ONCE = 2 * (os.cpu_count() or 1)


def _programs(kind: str) -> list[tuple[int, str]]:
    return [
        (stage, path.stem)
        for stage in STAGES
        for path in sorted((PROGRAMS / kind / str(stage)).glob("*.c"))
    ]


def _grade(folder: Path, kind: str, stage: int, name: str) -> Graded:
    place = folder / f"{kind}-{stage}-{name}" / str(stage)
    place.mkdir(parents=True)
    source = PROGRAMS / kind / str(stage) / f"{name}.c"
    shutil.copy(source, place / f"{STAGES[stage]}.c")
    return run_grader(str(stage), "--submission", place.parent)


@pytest.fixture(scope="module")
def graded(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[tuple[str, int, str], Future[Graded]]]:
    """All programs that are asked for, being graded in the background."""
    folder = tmp_path_factory.mktemp("programs")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        wanted = {
            (item.callspec.params["kind"], *item.callspec.params["program"])
            for item in request.session.items
            if hasattr(item, "callspec") and "program" in item.callspec.params
        }
        yield {
            (kind, stage, name): pool.submit(_grade, folder, kind, stage, name)
            for kind, stage, name in sorted(wanted)
        }
        pool.shutdown(cancel_futures=True)


def _id(program: object) -> str:
    return "-".join(map(str, program)) if isinstance(program, tuple) else str(program)


@pytest.mark.parametrize("kind", ["right"])
@pytest.mark.parametrize("program", _programs("right"), ids=_id)
def test_an_unusual_but_right_program_loses_nothing(
    graded: dict[tuple[str, int, str], Future[Graded]],
    kind: str,
    program: tuple[int, str],
) -> None:
    stage, name = program
    done = graded[kind, stage, name].result()
    lost = {
        check["id"]: (check["message"], check["evidence"])
        for check in done.stage(stage)["checks"]
        if check["status"] != "passed"
    }
    assert not lost
    assert (done.status, done.stage(stage)["score"]) == (0, 100)


@pytest.mark.parametrize("kind", ["wrong"])
@pytest.mark.parametrize("program", _programs("wrong"), ids=_id)
def test_a_wrong_program_loses_what_its_mistake_costs(
    graded: dict[tuple[str, int, str], Future[Graded]],
    kind: str,
    program: tuple[int, str],
) -> None:
    stage, name = program
    expected = TABLE[str(stage)][name]
    done = graded[kind, stage, name].result()
    checks = done.checks(stage)
    assert done.stage(stage)["status"] == "graded", done.err
    failed = {id for id, check in checks.items() if check["status"] == "failed"}
    told = {id: (checks[id]["message"], checks[id]["evidence"]) for id in failed}
    must, may = set(expected["must"]), set(expected.get("may", ()))
    assert must <= failed, f"these pass: {must - failed}"
    assert failed <= must | may, {id: told[id] for id in failed - must - may}
    assert done.status == 1
    if "says" in expected:
        lessons = " ".join(checks[id]["details"] for id in must)
        assert expected["says"] in " ".join(lessons.split())


def test_every_wrong_program_is_in_the_table_and_the_other_way_round() -> None:
    listed = {(int(stage), name) for stage, names in TABLE.items() for name in names}
    assert listed == set(_programs("wrong"))
