"""What a build says, also when it does not come to an end."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.sandbox import compiler
from grader.sandbox.isolation import NoIsolation


def test_what_a_compiler_said_before_its_time_was_up_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "_SECONDS", 2)
    place = tmp_path / "place"
    place.mkdir()
    command = ["/bin/sh", "-c", "echo 'nested too deeply'; exec sleep 60"]
    status, said = compiler.compile_in(place, command, NoIsolation())
    assert status == 1
    late = "the compiler was not done after 2 seconds"
    assert said.splitlines() == [late, "nested too deeply"]
