"""For tools that show tests: JUnit's XML, in the form that GitHub's actions, GitLab and
Jenkins read. Each stage is a suite; failed and skipped checks, and the grader's own
errors, have different elements.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from grader.report.outcome import Outcome, outcomes

_ELEMENTS = {"failed": "failure", "skipped": "skipped", "error": "error"}
_COUNTS = {"failures": "failed", "skipped": "skipped", "errors": "error"}

# Characters that XML 1.0 can't contain at all (section 2.2, Char).
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(result: dict[str, Any]) -> str:
    """RESULT as JUnit's XML."""
    suites = ElementTree.Element("testsuites", name="Echo Lab")
    for stage in result["stages"]:
        told = list(outcomes(result, stage["stage"]))
        attributes = {
            "name": f"Stage {stage['stage']}",
            "tests": str(len(told)),
            "time": f"{sum(outcome.seconds for outcome in told):.3f}",
            "timestamp": result["started"].removesuffix("+00:00"),
        }
        for name, status in _COUNTS.items():
            attributes[name] = str(sum(outcome.status == status for outcome in told))
        suite = ElementTree.SubElement(suites, "testsuite", attributes)
        for outcome in told:
            _case(suite, outcome)
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _case(suite: ElementTree.Element, outcome: Outcome) -> None:
    where, _, name = outcome.id.rpartition("/")
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=where.replace("/", "."),
        name=f"{name}: {outcome.name}",
        time=f"{outcome.seconds:.3f}",
    )
    if outcome.status in _ELEMENTS:
        message = _NO_CHARACTER.sub("?", outcome.message)
        element = _ELEMENTS[outcome.status]
        told = ElementTree.SubElement(case, element, message=message)
        told.text = _NO_CHARACTER.sub("?", outcome.says)
