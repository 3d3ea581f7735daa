"""The bench: one stage's submission, built, and how the checks get hold of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from grader import rubric, submission, workplace
from grader.build import Workshop
from grader.failure import CannotGrade, Failure
from grader import isolation
from grader.program import Program
from grader.result import DEFAULT_SEED
from grader.rubric import Check
from grader.sandbox import SANITIZERS

# How each build of a program is run: the environment, and the libraries besides. What
# malloc() gives is filled with rubbish, too (mallopt(3), M_PERTURB).
_SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "color=never:print_legend=0:exitcode=66:detect_leaks=1"
    ":malloc_fill_byte=165:max_malloc_fill_size=1073741824",
    "UBSAN_OPTIONS": "color=never:print_stacktrace=1",
    "LSAN_OPTIONS": "print_suppressions=0",
}
_RUN_WITH: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "plain": ({}, ()),
    "sanitized": (_SANITIZER_OPTIONS, SANITIZERS),
    "filled": ({"MALLOC_PERTURB_": "165"}, ()),
}

# How long clients stay that are silent, or do not read, at the least. In seconds.
PATIENCE_SECONDS = 4.0


@dataclass
class Bench:
    """One stage's submission, built, and all that a check needs to run it."""

    stage: int
    checks: dict[str, Check]
    workshop: Workshop
    program: Path
    isolation: str
    seed: int
    patience: float = PATIENCE_SECONDS
    warnings: list[str] = field(default_factory=list)
    others_are_done: Callable[[], bool] = lambda: True  # for a check that stays
    _refused: list[str] | None = None
    _built: dict[str, Path | None] = field(default_factory=dict)

    def run(self, *arguments: str, built: str = "plain", **options: Any) -> Program:
        """Start the program with ARGUMENTS, as it was BUILT: plain, sanitized, or
        filled."""
        path = self._program(built)
        options["environment"], options["libraries"] = _RUN_WITH[built]
        name = submission.STAGES[self.stage]
        return Program(path, arguments, self.isolation, name=name, **options)

    def run_client(self, *arguments: str, **options: Any) -> Program:
        """Start stage 2's client; its standard output is a pipe."""
        return self.run(*arguments, terminal=False, **options)

    @contextmanager
    def large_receive_buffers(self) -> Iterator[None]:
        """Whoever begins to listen meanwhile, in a network of ours, gets buffers that
        hold a long message whole."""
        if self.isolation == "bubblewrap":
            with isolation.large_receive_buffers():
                yield
        else:
            yield

    def refused_functions(self) -> list[str]:
        """The functions that the program calls and that are refused to it here."""
        if self._refused is None:
            self._refused = self.workshop.refused_functions()
        return self._refused

    def can_be_filled(self) -> bool:
        """Whether there is a filled build: an old compiler has none."""
        if "filled" not in self._built:
            self._built["filled"] = self.workshop.build_filled().program
        return self._built["filled"] is not None

    def _program(self, built: str) -> Path:
        if built == "plain":
            return self.program
        if built == "sanitized" and built not in self._built:
            build = self.workshop.build_sanitized()
            if build.program is None:
                message = "it compiles, but not with the sanitizers"
                raise Failure(message, received=build.output)
            self._built[built] = build.program
        path = self._built[built]
        assert path is not None, "who asks for it has asked whether it can be had"
        return path


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
        isolated, _ = isolation.enter("auto")
        try:
            found = submission.find(config.getoption("--submission"), number)
        except (submission.Missing, CannotGrade) as error:
            raise pytest.UsageError(str(error)) from None
        workshop = Workshop(found, folder, isolated)
        build = workshop.build()
        if build.program is None:
            raise pytest.UsageError(build.output)
        checks = rubric.load(number).checks
        config.stash[_BENCH] = Bench(
            number,
            checks,
            workshop,
            build.program,
            isolated,
            DEFAULT_SEED,
            warnings=build.warnings(),
        )
    return config.stash[_BENCH]
