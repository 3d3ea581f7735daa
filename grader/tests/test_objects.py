"""The grader's own objects: compiled once, again when something changed, and never
required."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grader.grading import objects
from grader.sandbox.isolation import NoIsolation

FLAGS = ("-std=gnu17",)
SOURCE = '#include "answer.h"\nint answer(void)\n{\n\treturn ANSWER;\n}\n'


@pytest.fixture(name="source")
def _source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source that includes answer.h; its objects are kept below tmp_path."""
    monkeypatch.setattr(objects, "_KEPT", tmp_path / "kept")
    (tmp_path / "answer.h").write_text("#define ANSWER 42\n")
    source = tmp_path / "answer.c"
    source.write_text(SOURCE)
    return source


def _made(source: Path, place: str, flags: tuple[str, ...] = FLAGS) -> str:
    """Link in a new PLACE; return the name of the file to link with."""
    folder = source.with_name(place)
    folder.mkdir()
    headers = [source.with_name("answer.h")]
    name = objects.link_with(folder, source, headers, flags, NoIsolation())
    assert (folder / name).is_file()
    return name


def _kept(source: Path) -> list[str]:
    return sorted(path.name for path in source.with_name("kept").glob("*"))


def test_what_was_compiled_once_is_not_compiled_again(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _made(source, "first") == "answer.o"
    monkeypatch.setattr(objects, "compile_in", None)
    assert _made(source, "second") == "answer.o"
    places = [source.with_name(place) for place in ("first", "second")]
    assert len({(place / "answer.o").read_bytes() for place in places}) == 1


@pytest.mark.parametrize("changed", ["answer.c", "answer.h", "flags", "installed"])
def test_what_changed_is_compiled_anew_and_the_old_one_goes(
    source: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    installed = source.with_name("installed")
    monkeypatch.setattr(objects, "_INSTALLED", (str(installed),))
    installed.touch()
    _made(source, "first")
    before = _kept(source)
    if changed == "installed":
        os.utime(installed, (1, 1))
    elif changed != "flags":
        path = source.with_name(changed)
        path.write_text(path.read_text() + "\n")
    _made(source, "second", ("-O2",) if changed == "flags" else FLAGS)
    assert len(before) == len(_kept(source)) == 1
    assert _kept(source) != before


def test_where_nothing_can_be_kept_it_is_made_each_time(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_KEPT", Path("/proc/objects"))
    assert _made(source, "first") == _made(source, "second") == "answer.o"


def test_what_cannot_be_compiled_is_left_to_say_why(source: Path) -> None:
    source.with_name("answer.h").write_text("#error no\n")
    assert _made(source, "first") == "answer.c"
    assert (source.with_name("first") / "answer.h").is_file()
    assert not _kept(source)
