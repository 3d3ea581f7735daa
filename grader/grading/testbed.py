"""The testbed: one stage's submission, built, and how the checks get hold of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from grader import course
from grader.course import DEFAULT_SEED, Stage
from grader.errors import CannotGrade
from grader.grading import submission
from grader.grading.build import Build, Workshop
from grader.grading.submission import Submission
from grader.harness.failure import Failure
from grader.sandbox import compiler
from grader.sandbox.cell import SANITIZERS
from grader.sandbox.isolation import Isolation, enter
from grader.sandbox.program import Program


# How each build of a program is run: its environment, and its libraries besides the C
# library. The filled one gets memory full of rubbish from malloc(), too (mallopt(3),
# M_PERTURB).
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

# How long silent clients, and those that do not read, stay at the least, in seconds.
PATIENCE_SECONDS = 4.0


@dataclass
class Testbed:
    """One stage's submission, built, and all that a check needs to run it."""

    stage: Stage
    workshop: Workshop
    program: Path
    isolation: Isolation
    seed: int = DEFAULT_SEED
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
        name = self.stage.program
        return Program(path, arguments, self.isolation, name=name, **options)

    def run_client(self, *arguments: str, **options: Any) -> Program:
        """Start a client under test; its standard output is a pipe."""
        return self.run(*arguments, terminal=False, **options)

    @contextmanager
    def large_receive_buffers(self) -> Iterator[None]:
        """In a network of ours: give sockets that begin to listen meanwhile receive
        buffers that a long message fits into."""
        with self.isolation.large_receive_buffers():
            yield

    def refused_functions(self) -> list[str]:
        """The functions that the program calls, and that its cell refuses."""
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


def build(
    found: Submission, place: Path, isolation: Isolation, **options: Any
) -> tuple[Build, Testbed | None]:
    """Build FOUND in PLACE. Returns the build, and, if there is a program, a testbed
    for it with OPTIONS. Raises CannotGrade."""
    workshop = Workshop(found, place, isolation)
    built = workshop.build()
    if built.program is None:
        return built, None
    warnings = built.warnings()
    made = Testbed(
        found.stage, workshop, built.program, isolation, warnings=warnings, **options
    )
    return built, made


_TESTBED: pytest.StashKey[Testbed] = pytest.StashKey()


class TestbedPlugin:
    """Hands the testbed to the checks' conftest."""

    name = "echolab-testbed"

    def __init__(self, testbed: Testbed) -> None:
        self.testbed = testbed

    def pytest_configure(self, config: pytest.Config) -> None:
        """Give it a name to be found by."""
        config.stash[_TESTBED] = self.testbed


def testbed_for_pytest(config: pytest.Config) -> Testbed:
    """The testbed of this run of pytest; for a run by hand, made from its options."""
    if _TESTBED not in config.stash:
        stack = ExitStack()
        config.add_cleanup(stack.close)
        place = stack.enter_context(compiler.folder())
        isolated, _ = enter("auto")
        stage = course.stage(config.getoption("--stage"))
        try:
            found = submission.find(config.getoption("--submission"), stage)
        except (submission.Missing, CannotGrade) as error:
            raise pytest.UsageError(str(error)) from None
        built, made = build(found, place, isolated)
        if made is None:
            raise pytest.UsageError(built.output)
        config.stash[_TESTBED] = made
    return config.stash[_TESTBED]
