"""Fixtures for the checks. grading/checking.py runs these, or you can by hand:

/usr/bin/python3 -m pytest grader/stages --stage 1 --submission stages -k pause
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grader import course
from grader.grading.testbed import Testbed, testbed_for_pytest
from grader.harness.client import Client
from grader.harness.client_session import ClientSession
from grader.harness.echo import EchoClient
from grader.harness.ports import free_port
from grader.harness.server import Server
from grader.harness.session import Session
from grader.sandbox.program import DESCRIPTORS, Program
from grader.stages.common.vigil import Vigil


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options for a run by hand."""
    group = parser.getgroup("echo lab")
    group.addoption("--stage", type=int, choices=list(course.stages()), default=1)
    group.addoption("--submission", type=Path, default=Path("stages"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Keep the checks of the graded stage, in its order."""
    stage = testbed_for_pytest(config).stage
    order, files = list(stage.checks), stage.tests()
    items[:] = sorted(
        (item for item in items if item.path in files and _id_of(item) in order),
        key=lambda item: order.index(_id_of(item)),
    )


def _id_of(item: pytest.Item) -> str:
    marker = item.get_closest_marker("check")
    return str(marker.args[0]) if marker else ""


@pytest.fixture(scope="session")
def testbed(pytestconfig: pytest.Config) -> Testbed:
    """The submission, built, and how to run it."""
    return testbed_for_pytest(pytestconfig)


@pytest.fixture
def options(testbed: Testbed, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options that stage.toml has for the check's theme, if it is a shared one."""
    theme = testbed.stage.checks[_id_of(request.node)].theme
    return testbed.stage.shared.get(theme, {})


@pytest.fixture
def rng(testbed: Testbed, request: pytest.FixtureRequest) -> random.Random:
    """Random numbers that depend only on the seed and the check."""
    return random.Random(f"{testbed.seed} {request.node.name}")


@pytest.fixture
def sessions() -> Iterator[list[Session]]:
    """Everything that a check has started; it is closed when the check ends."""
    started: list[Session] = []
    yield started
    for session in started:
        session.close()


@pytest.fixture
def client_class() -> type[Client]:
    """The class of a server's clients, which know which answer is due. A stage with
    another protocol defines this fixture in its own conftest.py; the themes in common/
    use this one."""
    return EchoClient


@pytest.fixture
def launch(
    testbed: Testbed, sessions: list[Session], client_class: type[Client]
) -> Callable[..., Server]:
    """Starts a server on a free port, or with the arguments given."""

    def launch(
        *arguments: str,
        port: int = 0,
        descriptors: tuple[int, int] = DESCRIPTORS,
        built: str = "plain",
    ) -> Server:
        port = port or free_port()
        argv = arguments if arguments or port == 8080 else (str(port),)
        program = testbed.run(*argv, descriptors=descriptors, built=built)
        server = Server(program, port, client_class)
        sessions.append(server)
        return server

    return launch


@pytest.fixture
def start(launch: Callable[..., Server]) -> Callable[..., Server]:
    """Starts a server and waits until it listens."""

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
def vigil(testbed: Testbed, client_class: type[Client]) -> Iterator[Vigil]:
    """A server with clients that stay (see vigil.py)."""
    kept = Vigil(testbed, client_class)
    yield kept
    kept.close()


@pytest.fixture
def start_client(
    testbed: Testbed, sessions: list[Session]
) -> Callable[..., ClientSession]:
    """Starts a client and our server for it (see ClientSession)."""

    def start_client(built: str = "plain", **options: Any) -> ClientSession:
        def run(*arguments: str, stdin: int) -> Program:
            return testbed.run_client(*arguments, stdin=stdin, built=built)

        opened = ClientSession(run, **options)
        sessions.append(opened)
        return opened

    return start_client
