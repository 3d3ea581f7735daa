"""What the checks are given. They are run by grader/grade.py; by hand, too:

/usr/bin/python3 -m pytest grader/checks --stage 3 --submission stages -k idle
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grader.bench import Bench, bench_for_pytest
from grader.checks.vigil import Vigil
from grader.peer import Session
from grader.program import DESCRIPTORS, Program
from grader.scene import Scene, free_port
from grader.server import Server


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options for a run by hand."""
    group = parser.getgroup("echo lab")
    group.addoption("--stage", type=int, choices=(1, 2, 3), default=3)
    group.addoption("--submission", type=Path, default=Path("stages"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Keep the checks of this stage, in the rubric's order."""
    bench = bench_for_pytest(config)
    order = list(bench.checks)

    def id_of(item: pytest.Item) -> str:
        marker = item.get_closest_marker("check")
        return str(marker.args[0]) if marker else ""

    items[:] = sorted(
        (item for item in items if id_of(item) in bench.checks),
        key=lambda item: order.index(id_of(item)),
    )


@pytest.fixture(scope="session")
def bench(pytestconfig: pytest.Config) -> Bench:
    """The submission, built, and how it is to be run."""
    return bench_for_pytest(pytestconfig)


@pytest.fixture
def rng(bench: Bench, request: pytest.FixtureRequest) -> random.Random:
    """Random numbers, the same for the same seed and the same check."""
    return random.Random(f"{bench.seed} {request.node.name}")


@pytest.fixture
def scenes() -> Iterator[list[Scene]]:
    """All that a check has started, which ends with it."""
    started: list[Scene] = []
    yield started
    for scene in started:
        scene.close()


@pytest.fixture
def launch(bench: Bench, scenes: list[Scene]) -> Callable[..., Server]:
    """Starts a server on a port of its own, or with the arguments given."""

    def launch(
        *arguments: str,
        port: int = 0,
        descriptors: tuple[int, int] = DESCRIPTORS,
        built: str = "plain",
    ) -> Server:
        port = port or free_port()
        argv = arguments if arguments or port == 8080 else (str(port),)
        program = bench.run(*argv, descriptors=descriptors, built=built)
        server = Server(program, port)
        scenes.append(server)
        return server

    return launch


@pytest.fixture
def start(launch: Callable[..., Server]) -> Callable[..., Server]:
    """Starts a server, and waits until it listens."""

    def start(**options: Any) -> Server:
        server = launch(**options)
        server.expect_listening()
        return server

    return start


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    """A server that listens."""
    return start()


@pytest.fixture
def vigil(bench: Bench) -> Iterator[Vigil]:
    """A server with clients that stay (see vigil.py)."""
    kept = Vigil(bench)
    yield kept
    kept.close()


@pytest.fixture
def session(bench: Bench, scenes: list[Scene]) -> Callable[..., Session]:
    """Starts stage 2's client, and our server (see Session)."""

    def session(built: str = "plain", **options: Any) -> Session:
        def run(*arguments: str, stdin: int) -> Program:
            return bench.run_client(*arguments, stdin=stdin, built=built)

        opened = Session(run, **options)
        scenes.append(opened)
        return opened

    return session
