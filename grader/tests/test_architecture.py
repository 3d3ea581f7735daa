"""The shape of the grader: imports run down the packages, modules form no cycle, and
every module and class is short enough to read in one go."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

import grader
from grader.course import ROOT

# The packages and modules of grader/, from the top. Each imports only from itself and
# from those below it.
FLOORS = (
    "cli", "grade_cli", "teaching", "watch", "github", "report", "grading", "lessons",
    "fuzz", "harness", "sandbox", "kernel", "argument_types", "course", "errors",
    "text",
)  # fmt: skip

# Stages import from here down, and nothing imports them: pytest finds their files.
BELOW_STAGES = FLOORS[FLOORS.index("grading") :]

# Everything in grader/.
KNOWN = (*FLOORS, "stages", "tests", "__main__")

MOST_LINES, MOST_LINES_OF_A_CLASS = 400, 150

# What may break a rule, with the reason. An exception that is no longer needed must go.
EXCEPTIONS: dict[str, str] = {}


@dataclass(frozen=True)
class Violation:
    """WHAT breaks a rule, which is also the name for an exception; and WHERE."""

    what: str
    where: str


@dataclass(frozen=True)
class Module:
    """A module of the grader: its NAME without "grader.", and PATH, its file as
    messages name it."""

    name: str
    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its source, parsed."""
        return ast.parse(self.source)

    @property
    def package(self) -> str:
        """The first part of its name."""
        return self.name.partition(".")[0]


def modules_of(root: Path) -> dict[str, Module]:
    """All modules of the grader in ROOT except its tests, by name."""
    found = {}
    for file in sorted(root.rglob("*.py")):
        path = file.relative_to(root)
        if path.parts[0] != "tests":
            parts = path.with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = Module(name, str(path), file.read_text(encoding="utf-8"))
    return found


# -- imports ------------------------------------------------------------------


def imports_of(module: Module, modules: dict[str, Module]) -> Iterator[tuple[str, int]]:
    """What MODULE imports from the grader, without "grader.", and on which line. This
    includes imports in functions and those only for type checkers."""
    for node in ast.walk(module.tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base_of(node, module)
            whole = [f"{base}.{alias.name}" for alias in node.names]
            # From grader itself come its packages, whether they are modules or not.
            names = [
                name if base == "grader" or name.partition(".")[2] in modules else base
                for name in whole
            ]
        elif isinstance(node, ast.Call):
            names = _imported_by_call(node)
        for name in names:
            if name.partition(".")[0] == "grader":
                yield name.removeprefix("grader").removeprefix("."), node.lineno


def _base_of(node: ast.ImportFrom, module: Module) -> str:
    """The module that NODE, in MODULE, imports from."""
    if not node.level:
        return node.module or ""
    above = ["grader", *filter(None, module.name.split("."))]
    level = node.level - module.path.endswith("__init__.py")
    return ".".join([*above[: len(above) - level], *filter(None, [node.module])])


def _imported_by_call(node: ast.Call) -> list[str]:
    """What importlib.import_module() imports, if the argument is a literal."""
    function = node.func
    called = function.attr if isinstance(function, ast.Attribute) else ""
    called = function.id if isinstance(function, ast.Name) else called
    if called != "import_module" or not node.args:
        return []
    begins = [n for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant)]
    return [str(begins[0].value).rstrip(".")] if begins else []


def directions(modules: dict[str, Module]) -> Iterator[Violation]:
    """The imports that do not run down."""
    for module in modules.values():
        if module.package not in (*KNOWN, ""):
            yield Violation(f"no floor for {module.package}", module.path)
        for imported, line in imports_of(module, modules):
            if not _may_import(module.package, imported):
                what = f"{module.path} imports {imported}"
                yield Violation(what, f"{module.path}:{line}")


def _may_import(importer: str, imported: str) -> bool:
    """Whether the package IMPORTER may import IMPORTED."""
    package = imported.partition(".")[0]
    if package not in KNOWN:  # a name defined in grader/__init__.py itself
        return True
    if importer == "__main__":
        return package == "cli"
    if importer == "stages":
        shared = f"{imported}.".startswith("stages.common.")
        return shared or package in BELOW_STAGES
    if importer not in FLOORS or package not in FLOORS:
        return False
    return FLOORS.index(importer) <= FLOORS.index(package)


def circles(modules: dict[str, Module]) -> Iterator[Violation]:
    """Each group of modules that import each other, directly or not."""
    graph = {
        name: {imported: line for imported, line in imports_of(module, modules)}
        for name, module in modules.items()
    }
    below = {name: _reached(name, graph) for name in graph}
    groups = {
        tuple(sorted(other for other in below[name] if name in below[other]))
        for name in graph
        if name in below[name]
    }
    for group in sorted(groups):
        imports = [
            f"{modules[name].path}:{line} imports {imported}"
            for name in group
            for imported, line in sorted(graph[name].items())
            if imported in group
        ]
        yield Violation(f"circle of {', '.join(group)}", "; ".join(imports))


def _reached(name: str, graph: dict[str, dict[str, int]]) -> set[str]:
    """What NAME imports, what that imports, and so on."""
    reached: set[str] = set()
    ahead = [name]
    while ahead:
        new = graph.get(ahead.pop(), {}).keys() - reached
        reached |= new & graph.keys()
        ahead += new
    return reached


# -- length -------------------------------------------------------------------


def lengths(modules: dict[str, Module]) -> Iterator[Violation]:
    """The modules and classes that are too long."""
    for module in modules.values():
        lines = len(module.source.splitlines())
        if lines > MOST_LINES:
            yield Violation(f"long module {module.path}", f"{lines} lines")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MOST_LINES_OF_A_CLASS:
                    what = f"long class {node.name} in {module.path}"
                    yield Violation(what, f"{module.path}:{node.lineno}: {lines} lines")


def problems(root: Path, exceptions: dict[str, str]) -> list[str]:
    """What is wrong with the grader in ROOT, and which EXCEPTIONS are not needed."""
    modules = modules_of(root)
    found = [*directions(modules), *circles(modules), *lengths(modules)]
    wrong = [f"{v.what} ({v.where})" for v in found if v.what not in exceptions]
    stale = exceptions.keys() - {violation.what for violation in found}
    return wrong + [
        f"no exception is needed any more: {what}" for what in sorted(stale)
    ]


def test_the_grader_is_built_as_it_should_be() -> None:
    found = problems(ROOT / "grader", EXCEPTIONS)
    assert not found, "\n".join(found)


def test_an_exception_has_its_reason() -> None:
    assert all(EXCEPTIONS.values())


def test_the_map_of_the_packages_shows_the_same_floors() -> None:
    below = (grader.__doc__ or "").partition("down this list:")[2]
    mapped = below.partition("stages/N/")[0]
    names = re.findall(r"(?m)^(\w+)(?:/|\.py)(?:, (\w+)\.py)?", mapped)
    assert [name for pair in names for name in pair if name] == list(FLOORS)


# -- each kind of fault is found ----------------------------------------------

# Nothing is wrong with this one.
SOUND = {
    "__init__.py": 'VERSION = "1.0"',
    "__main__.py": "from grader.cli import main",
    "cli.py": "from grader import grade_cli, course\nfrom grader.teaching import x",
    "grade_cli.py": (
        'import importlib\nimportlib.import_module(f"grader.report.{NAME}")\n'
        "def grade():\n    from grader.grading import request\n"
    ),
    "teaching/x.py": "from grader import VERSION, argument_types",
    "grading/__init__.py": "",
    "grading/request.py": "import grader.course\nimport os",
    "grading/testbed.py": "from grader.grading.request import Request",
    "harness/server.py": "from grader.kernel.procfs import tasks",
    "kernel/procfs.py": "class Long:\n" + "    x = 1\n" * 149,
    "course.py": "from grader.errors import CannotGrade\n" + "x = 1\n" * 399,
    "argument_types.py": "from grader import course",
    "errors.py": "import sys",
    "stages/3/test_echo.py": (
        "from grader.grading.testbed import Testbed\n"
        "from grader.stages.common import check\n"
        "from grader.stages.common.pacing import pause\n"
    ),
    "stages/common/__init__.py": "check = 1",
    "stages/common/pacing.py": "from grader.harness.server import Server",
    "tests/test_x.py": "from grader.stages.common import check\nx = 1\n" * 300,
}


def _tree(root: Path, **changed: str) -> Path:
    for path, source in (SOUND | changed).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(source)
    return root


def test_a_sound_tree_is_right(tmp_path: Path) -> None:
    assert problems(_tree(tmp_path), {}) == []


@pytest.mark.parametrize(
    "path, source, said",
    [
        # Imports that run up.
        (
            "grading/request.py",
            "import os\nfrom grader.report import terminal",
            "grading/request.py imports report (grading/request.py:2)",
        ),
        (
            "harness/server.py",
            "import grader.grading.request",
            "harness/server.py imports grading.request (harness/server.py:1)",
        ),
        (
            "kernel/procfs.py",
            "def look():\n    from grader import course, harness",
            "kernel/procfs.py imports harness (kernel/procfs.py:2)",
        ),
        (
            "text.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
            "    from grader.course import Check",
            "text.py imports course (text.py:3)",
        ),
        (
            "grading/testbed.py",
            "from ..teaching.x import y",
            "grading/testbed.py imports teaching.x (grading/testbed.py:1)",
        ),
        (
            "grading/__init__.py",
            "from .. import cli",
            "grading/__init__.py imports cli (grading/__init__.py:1)",
        ),
        (
            "grading/request.py",
            'import importlib\nimportlib.import_module(f"grader.report.{NAME}")',
            "grading/request.py imports report (grading/request.py:2)",
        ),
        (
            "teaching/x.py",
            "from grader import grade_cli",
            "teaching/x.py imports grade_cli (teaching/x.py:1)",
        ),
        (
            "__init__.py",
            "from grader import text",
            "__init__.py imports text (__init__.py:1)",
        ),
        ("spare/x.py", "", "no floor for spare (spare/x.py)"),
        # Stages, and tests.
        (
            "report/html.py",
            "from grader.stages.common import check",
            "report/html.py imports stages.common (report/html.py:1)",
        ),
        (
            "grading/testbed.py",
            "import grader.stages",
            "grading/testbed.py imports stages (grading/testbed.py:1)",
        ),
        (
            "stages/common/pacing.py",
            "from grader.watch import saves",
            "stages/common/pacing.py imports watch (stages/common/pacing.py:1)",
        ),
        (
            "stages/3/test_echo.py",
            "from grader.tests import matrix",
            "stages/3/test_echo.py imports tests (stages/3/test_echo.py:1)",
        ),
        (
            "cli.py",
            "from grader.tests.matrix import Program",
            "cli.py imports tests.matrix (cli.py:1)",
        ),
        # Circles.
        (
            "grading/request.py",
            "from grader.grading import testbed",
            "circle of grading.request, grading.testbed"
            " (grading/request.py:1 imports grading.testbed;"
            " grading/testbed.py:1 imports grading.request)",
        ),
        (
            "grading/request.py",
            "if TYPE_CHECKING:\n    from grader.grading.testbed import Testbed",
            "circle of grading.request, grading.testbed"
            " (grading/request.py:2 imports grading.testbed;"
            " grading/testbed.py:1 imports grading.request)",
        ),
        # Lengths.
        ("course.py", "x = 1\n" * 401, "long module course.py (401 lines)"),
        (
            "kernel/procfs.py",
            "class Long:\n" + "    x = 1\n" * 150,
            "long class Long in kernel/procfs.py (kernel/procfs.py:1: 151 lines)",
        ),
    ],
)
def test_each_kind_of_fault_is_found(
    tmp_path: Path, path: str, source: str, said: str
) -> None:
    assert problems(_tree(tmp_path, **{path: source}), {}) == [said]


def test_a_circle_by_way_of_others_is_found_as_one(tmp_path: Path) -> None:
    ring = {
        f"kernel/{name}.py": f"from grader.kernel import {next_}"
        for name, next_ in (("a", "b"), ("b", "c"), ("c", "a"))
    }
    ring["kernel/d.py"] = "from grader.kernel import a"  # itself not part of the ring
    (found,) = problems(_tree(tmp_path, **ring), {})
    assert found.startswith("circle of kernel.a, kernel.b, kernel.c (kernel/a.py:1 ")


def test_an_exception_excuses_one_thing_and_is_stale_without_it(tmp_path: Path) -> None:
    excused = {"long class Long in kernel/procfs.py": "because"}
    long = {"kernel/procfs.py": "class Long:\n" + "    x = 1\n" * 150}
    assert problems(_tree(tmp_path, **long), excused) == []
    stale = "no exception is needed any more: long class Long in kernel/procfs.py"
    assert problems(_tree(tmp_path), excused) == [stale]
