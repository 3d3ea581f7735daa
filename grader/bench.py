"""The bench: one stage's submission, built, and how the checks get hold of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from grader import rubric, submission, workplace
from grader.build import Build, Workshop
from grader.failure import CannotGrade, Failure
from grader.isolation import enter
from grader.program import Program
from grader.result import DEFAULT_SEED
from grader.rubric import Check
from grader.sandbox import SANITIZERS

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "color=never:print_legend=0:exitcode=66:detect_leaks=1",
    "UBSAN_OPTIONS": "color=never:print_stacktrace=1",
    "LSAN_OPTIONS": "print_suppressions=0",
}


@dataclass
class Bench:
    """One stage's submission, built, and all that a check needs to run it."""

    stage: int
    checks: dict[str, Check]
    workshop: Workshop
    program: Path
    isolation: str
    seed: int
    _sanitized: Build | None = field(default=None)

    def run(self, *arguments: str, sanitized: bool = False, **options: Any) -> Program:
        """Start the program, or its sanitizer build, with ARGUMENTS."""
        path = self.program
        if sanitized:
            path = self._sanitizer_build()
            options["environment"] = SANITIZER_OPTIONS
            options["libraries"] = SANITIZERS
        name = submission.STAGES[self.stage]
        return Program(path, arguments, self.isolation, name=name, **options)

    def run_client(self, *arguments: str, **options: Any) -> Program:
        """Start stage 2's client; its standard output is a pipe."""
        return self.run(*arguments, terminal=False, **options)

    def _sanitizer_build(self) -> Path:
        if self._sanitized is None:
            self._sanitized = self.workshop.build_sanitized()
        if self._sanitized.program is None:
            raise Failure(
                "it compiles, but not with the sanitizers",
                received=self._sanitized.output,
            )
        return self._sanitized.program


_BENCH: pytest.StashKey[Bench] = pytest.StashKey()


class BenchPlugin:
    """Hands the bench to the checks' conftest."""

    name = "echolab-bench"

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def pytest_configure(self, config: pytest.Config) -> None:
        """Give it a name to be found by."""
        config.stash[_BENCH] = self.bench


def bench_for_pytest(config: pytest.Config) -> Bench:
    """The bench of this run of pytest; for a run by hand, made from its options."""
    if _BENCH not in config.stash:
        number = config.getoption("--stage")
        stack = ExitStack()
        config.add_cleanup(stack.close)
        folder = stack.enter_context(workplace.folder())
        isolation, _ = enter("auto")
        try:
            found = submission.find(config.getoption("--submission"), number)
        except (submission.Missing, CannotGrade) as error:
            raise pytest.UsageError(str(error)) from None
        workshop = Workshop(found, folder, isolation)
        build = workshop.build()
        if build.program is None:
            raise pytest.UsageError(build.output)
        checks = rubric.load(number).checks
        config.stash[_BENCH] = Bench(
            number, checks, workshop, build.program, isolation, DEFAULT_SEED
        )
    return config.stash[_BENCH]
