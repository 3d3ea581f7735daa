"""report.yml: runs its steps as written, with artifacts of all kinds and our own
API."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grader.github import artifact, comment
from grader.report.inert import code, command
from grader.tests import github_api, programs, runner
from grader.tests.conftest import run_grader
from grader.tests.github_api import GitHub
from grader.tests.runner import Run, Runner

REPORT = ".github/workflows/report.yml"
FIRST, SECOND = "1" * 40, "2" * 40


@dataclass
class Desk:
    """A graded pull request from kit's branch, and the API that gets the comment."""

    github: GitHub
    course: Path
    folder: Path

    def push(self, sha: str) -> None:
        head = {"label": "kit:work", "sha": sha}
        self.github.pulls = [{"number": 7, "head": head, "base": {"ref": "main"}}]

    def leave(self, content: str | bytes | dict[str, Any]) -> None:
        """Leave CONTENT as the result in the artifact."""
        self.artifact.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            content = json.dumps(content)
        data = content.encode() if isinstance(content, str) else content
        (self.artifact / "result.json").write_bytes(data)

    @property
    def artifact(self) -> Path:
        return self.folder / "artifacts" / "grade"

    def report(self, sha: str, **run: Any) -> Run:
        """Run the workflow, as after the run for the commit SHA."""
        owner = {"login": "kit"}
        told = {
            "id": 99, "event": "pull_request", "conclusion": "success",
            "head_sha": sha, "head_branch": "work",
            "head_repository": {"full_name": "kit/echo-lab", "owner": owner},
        }  # fmt: skip
        event = {
            "workflow_run": told | run,
            "repository": {"default_branch": "main"},
        }
        variables = {
            "GITHUB_API_URL": self.github.url,
            "GITHUB_REPOSITORY": github_api.REPOSITORY,
        }
        return Runner(
            self.folder / "runner", self.course, event, self.artifact.parent, variables
        ).run(self.course / REPORT, "comment")

    @property
    def body(self) -> str:
        """The text of the one comment that exists."""
        (only,) = self.github.comments
        assert isinstance(only["body"], str)
        return only["body"]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runner.course(tmp_path_factory.mktemp("course"))


@pytest.fixture
def desk(course: Path, tmp_path: Path) -> Iterator[Desk]:
    github = GitHub(files=[{"filename": "stages/1/tcp_server.c"}])
    with github_api.served(github):
        desk = Desk(github, course, tmp_path)
        desk.push(FIRST)
        yield desk


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of a stage 1 with one mistake."""
    place = tmp_path_factory.mktemp("submission") / "1"
    place.mkdir()
    (place / "tcp_server.c").write_text(programs.find("1/overflow_by_one").text)
    result = run_grader("1", "--submission", place.parent).result
    assert (result["score"], result["max_score"]) == (96, 100)
    return result


@pytest.fixture
def result(graded: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(graded)


def verdict(result: dict[str, Any], id: str, status: str, message: str = "") -> None:
    """Set the check ID of RESULT to STATUS."""
    (stage,) = result["stages"]
    check = next(check for check in stage["checks"] if check["id"] == id)
    points = check["max_points"] if status == "passed" else 0
    check |= {"status": status, "points": points, "message": message}
    check["evidence"] = {"says": message}
    stage["score"] = result["score"] = sum(c["points"] for c in stage["checks"])


def test_the_first_comment_says_what_failed(desk: Desk, result: dict[str, Any]) -> None:
    desk.leave(result)
    run = desk.report(FIRST)
    assert (run.status, run.left) == (0, ""), run.log
    assert "### ✅ Echo Lab: 96 of 100 points for commit `1111111`\n" in desk.body
    assert "| 1 | 96 of 100 | 1 failed |" in desk.body
    line = "- **1.10 uses memory rightly (AddressSanitizer, UBSan)** (−4): "
    assert (
        f"{line}`the sanitizers report that memory is misused`, `in echo_cl"
        in desk.body
    )
    assert "https://github.com/school/echo-lab/actions/runs/99" in desk.body
    assert "Since" not in desk.body and "WARNING" not in desk.body


def test_the_next_push_renews_it_and_says_what_has_changed(
    desk: Desk, result: dict[str, Any]
) -> None:
    desk.leave(result)
    assert desk.report(FIRST).status == 0
    desk.push(SECOND)
    verdict(result, "memory/sanitizers", "passed")
    verdict(result, "echo/line", "failed", "it does not")
    desk.leave(result)
    assert desk.report(SECOND).status == 0
    assert "### ✅ Echo Lab: 90 of 100 points" in desk.body
    assert (
        "**Since `1111111`:** 6 points fewer; passes now: 1.10 uses memory rightly "
        "(AddressSanitizer, UBSan); no longer passes: 1.5 echoes a line."
    ) in desk.body
    assert desk.report(SECOND).status == 0  # the same again
    assert "Since" not in desk.body


def test_a_grading_that_failed_forgets_nothing(
    desk: Desk, result: dict[str, Any]
) -> None:
    desk.leave(result)
    desk.report(FIRST)
    desk.push(SECOND)
    (desk.artifact / "result.json").unlink()
    desk.report(SECOND, conclusion="failure")
    assert "is not graded" in desk.body
    assert "could not finish" in desk.body
    kept = comment.remembered(desk.body)
    assert kept and (kept.head, kept.points) == (FIRST, {1: 96})


@pytest.mark.parametrize("conclusion", ["cancelled", "timed_out", "skipped"])
def test_a_run_that_left_nothing_keeps_no_older_grade(
    desk: Desk, result: dict[str, Any], conclusion: str
) -> None:
    desk.leave(result)
    desk.report(FIRST)
    desk.push(SECOND)
    (desk.artifact / "result.json").unlink()
    desk.report(SECOND, conclusion=conclusion)
    assert "### Echo Lab: commit `2222222` is not graded\n" in desk.body
    assert f"left no result; GitHub calls it `{conclusion}`" in desk.body
    assert "✅" not in desk.body


BAD = (
    "@teacher #1 ![x](http://x.example/x.png) <img src=x> [a](b) </details> `` ` -->\n"
)
MARKUP = BAD + "\r\n## big\n::error::pwned\n\x1b[31m\u202e" + "`" * 99 + "$x$ :tada:"


def harmless(body: str) -> str:
    """BODY without code, and without our hidden line."""
    shown = re.sub(r"`[^`\n]+`", "", body.partition(" -->\n")[2])
    assert "`" not in shown
    return shown


def test_a_strangers_words_are_nothing_but_words(
    desk: Desk, result: dict[str, Any]
) -> None:
    verdict(result, "echo/line", "failed", MARKUP)
    desk.leave(result)
    desk.github.files.append({"filename": f"a{BAD}"})
    run = desk.report(FIRST)
    assert run.status == 0
    shown = harmless(desk.body)
    for bad in ("@", "![", "<", "http://", "::", "\x1b", "\u202e", "$", "## big", ":t"):
        assert bad not in shown, bad
    assert "\x1b" not in desk.body and "\u202e" not in desk.body
    assert "teacher" not in run.log


def test_whatever_else_it_claims_is_not_looked_at(
    desk: Desk, result: dict[str, Any]
) -> None:
    result |= {
        "pull_request": 1,
        "number": 1,
        "head_sha": SECOND,
        "path": "/etc/passwd",
    }
    result["stages"][0]["checks"][0] |= {"title": "pwned", "details": "x" * (5 << 20)}
    desk.leave(result)
    assert desk.report(FIRST).status == 0
    assert "pwned" not in desk.body and len(desk.body) < 5000
    assert "POST issues/7/comments" in desk.github.asked


def nested(depth: int) -> str:
    return '{"schema":' + "[" * depth + "]" * depth + "}"


def edited(path: str, value: Any) -> Any:
    """An edit of a result: put VALUE at PATH, whose keys are joined with dots."""

    def edit(result: dict[str, Any]) -> dict[str, Any]:
        *names, last = path.split(".")
        here: Any = result
        for name in names:
            here = here[int(name)] if name.isdigit() else here[name]
        here[last] = value
        return result

    return edit


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda result: nested(100_000), "nested too deeply"),
        (lambda result: b"\xff\xfe", "not JSON"),
        (lambda result: '{"schema": NaN}', "not JSON"),
        (lambda result: "9" * 5000, "not JSON"),
        (lambda result: "[]", "not an object"),
        (lambda result: " " * (9 << 20), "larger than 8 MiB"),
        (edited("stages.0.checks.0.details", "x" * (10 << 20)), "larger than 8 MiB"),
        (edited("schema", "echolab/result/v2"), "schema"),
        (edited("score", 1000), "add up"),
        (edited("score", True), "add up"),
        (edited("stages.0.score", 97), "add up"),
        (edited("stages.0.stage", 4), "out of bounds"),
        (edited("stages.0.stage", 0), "a stage that does not exist"),
        (edited("stages.0.status", "<b>"), "unknown status"),
        (edited("stages.0.checks.0.id", "a/@teacher"), "no proper id"),
        (edited("stages.0.checks.0.id", "echo/line"), "there twice"),
        (edited("stages.0.checks.0.points", 1e9), "out of bounds"),
        (edited("stages.0.checks.0.points", 3), "do not fit"),
        (edited("stages.0.checks.0.message", ["x"]), "no message"),
        (edited("stages.0.checks.0.evidence", []), "no evidence"),
        (edited("stages.0.checks.0.evidence.says", 1), "says nothing"),
        (edited("stages.0.checks", []), "add up"),
        (edited("stages.0.checks", [{}] * 201), "too many checks"),
        (edited("stages", []), "there is none"),
        (edited("stages", {"0": 1}), "no list"),
    ],
)  # fmt: skip
def test_what_is_no_result_is_refused(
    desk: Desk, result: dict[str, Any], spoil: Any, words: str
) -> None:
    desk.leave(spoil(result))
    with pytest.raises(artifact.Refused, match=words):
        artifact.read(desk.artifact)


def test_that_it_is_refused_is_said(desk: Desk, result: dict[str, Any]) -> None:
    desk.leave(edited("score", 1000)(result))
    run = desk.report(FIRST)
    assert run.status == 0 and "the result is refused" in run.log
    assert "is not graded" in desk.body
    assert "a result that cannot be read: its points do not add up" in desk.body


def test_a_link_in_the_artifact_is_not_followed(
    desk: Desk, result: dict[str, Any]
) -> None:
    (desk.folder / "elsewhere").write_text(json.dumps(result))
    desk.artifact.mkdir(parents=True)
    (desk.artifact / "result.json").symlink_to(desk.folder / "elsewhere")
    assert desk.report(FIRST).status == 0
    assert "not a file that can be read" in desk.body


def test_a_fifo_in_the_artifact_holds_nobody_up(desk: Desk) -> None:
    desk.artifact.mkdir(parents=True)
    os.mkfifo(desk.artifact / "result.json")
    with pytest.raises(artifact.Refused, match="not a regular file"):
        artifact.read(desk.artifact)


def test_who_changes_the_workflow_is_not_believed(
    desk: Desk, result: dict[str, Any]
) -> None:
    desk.github.files += [{"filename": f"stages/1/{n}"} for n in range(150)]
    renamed = {"filename": "x", "previous_filename": ".github/workflows/grade.yml"}
    desk.github.files.append(renamed)
    desk.leave(result)
    assert desk.report(FIRST).status == 0
    assert "> [!WARNING]" in desk.body
    assert "changes `.github/workflows/grade.yml`" in desk.body
    assert "check before you trust this" in desk.body
    assert "outside `stages/`: `x`." in desk.body
    assert "### ⚠️ Echo Lab: 96 of 100 points" in desk.body


def test_too_few_points_are_seen_at_once(desk: Desk, result: dict[str, Any]) -> None:
    for check in result["stages"][0]["checks"][:10]:
        verdict(result, check["id"], "failed", "no")
    desk.leave(result)
    assert desk.report(FIRST).status == 0
    assert "### ❌ Echo Lab: 27 of 100 points" in desk.body


def test_what_it_touches_besides_has_no_effect(
    desk: Desk, result: dict[str, Any]
) -> None:
    desk.github.files.append({"filename": "grader/grading/grade.py"})
    desk.leave(result)
    assert desk.report(FIRST).status == 0
    assert "with no effect on the grade: `grader/grading/grade.py`." in desk.body
    assert "WARNING" not in desk.body


def test_who_pushes_while_we_look_is_not_commented_on(
    desk: Desk, result: dict[str, Any]
) -> None:
    desk.github.pushed_meanwhile = SECOND
    desk.leave(result)
    run = desk.report(FIRST)
    assert run.status == 0 and "has newer commits" in run.log
    assert desk.github.comments == []


@pytest.mark.parametrize("many, known", [(2998, True), (2999, False)])
def test_who_hides_among_thousands_of_files_is_not_believed(
    desk: Desk, result: dict[str, Any], many: int, known: bool
) -> None:
    before = [{"filename": f"docs/{number}"} for number in range(many)]
    desk.github.files = before + desk.github.files
    desk.leave(result)
    assert desk.report(FIRST).status == 0
    assert "96 of 100 points" in desk.body
    assert ("> [!WARNING]" in desk.body) != known
    assert ("touches more files than GitHub lists" in desk.body) != known


def test_another_branchs_grader_is_not_believed(
    desk: Desk, result: dict[str, Any]
) -> None:
    desk.github.pulls[0]["base"]["ref"] = "my-own-@grader"
    desk.leave(result)
    assert desk.report(FIRST).status == 0
    assert "is for `my-own-@grader`, not for `main`" in desk.body


@pytest.mark.parametrize("state", ["open", "closed"])
def test_of_two_pull_requests_with_one_commit_each_may_have_the_others_grade(
    desk: Desk, result: dict[str, Any], state: str
) -> None:
    (first,) = desk.github.pulls
    easy = {"number": 8, "base": {"ref": "easy"}, "state": state}
    desk.github.pulls.append(first | easy)
    desk.leave(result)
    assert desk.report(FIRST).status == 0
    about = {one["issue_url"][-1]: one["body"] for one in desk.github.comments}
    assert set(about) == ({"7", "8"} if state == "open" else {"7"})
    assert "#8 has the same commit and is for `easy`" in about["7"]
    assert "### ⚠️ Echo Lab" in about["7"]
    if state == "open":
        assert "#7 has the same commit and is for `main`" in about["8"]


def test_a_result_for_other_stages_than_are_touched_is_not_believed(
    desk: Desk, result: dict[str, Any]
) -> None:
    desk.github.files.append({"filename": "stages/3/tcp_server.c"})
    desk.leave(result)
    assert desk.report(FIRST).status == 0
    assert "### ⚠️ Echo Lab: 96 of 100 points" in desk.body
    assert "touches these stages: 1, 3; but these were graded: 1" in desk.body


def test_a_result_by_another_rubric_is_not_believed(
    desk: Desk, result: dict[str, Any]
) -> None:
    (stage,) = result["stages"]
    del stage["checks"][1:]
    (check,) = stage["checks"]
    check |= {"status": "passed", "points": 1, "max_points": 1}
    stage |= {"score": 1, "max_score": 1}
    desk.leave(result | {"score": 1, "max_score": 1})
    assert desk.report(FIRST).status == 0
    assert "### ⚠️ Echo Lab: 1 of 1 points" in desk.body
    assert "Stage 1 was not graded by the rubric that is here now" in desk.body


def test_of_a_strangers_checks_only_ours_are_remembered(
    desk: Desk, result: dict[str, Any]
) -> None:
    (stage,) = result["stages"]
    ours = {check["id"] for check in stage["checks"]}
    like = stage["checks"][0] | {"status": "passed", "points": 0, "max_points": 0}
    many = 200 - len(ours)
    stage["checks"] += [like | {"id": f"{'x' * 40}/{n:040}"} for n in range(many)]
    desk.leave(result)
    assert desk.report(FIRST).status == 0
    kept = comment.remembered(desk.body)
    assert kept and set(kept.passed[1]) <= ours and len(desk.body) < 5000


def test_somebody_elses_comment_with_our_mark_is_left_alone(
    desk: Desk, result: dict[str, Any]
) -> None:
    theirs: dict[str, Any] = {"id": 1, "user": {"login": "kit", "type": "User"}}
    theirs["body"] = comment.MARK + "{} -->\n full marks"
    theirs["issue_url"] = f"{desk.github.url}/repos/{github_api.REPOSITORY}/issues/7"
    desk.github.comments.append(dict(theirs))
    desk.leave(result)
    assert desk.report(FIRST).status == 0
    assert desk.report(FIRST).status == 0
    assert desk.github.comments[0] == theirs
    assert len(desk.github.comments) == 2


@pytest.mark.parametrize(
    "memory",
    ["", "{", "{}", "[1]", '{"head":1,"stages":{}}', '{"head":"x","stages":{}}',
     '{"head":"%s","stages":{"1":{"points":1,"passed":["@x"]}}}' % FIRST,
     '{"head":"%s","stages":{"9":{"points":1,"passed":[]}}}' % FIRST,
     '{"head":"%s","stages":{"1":{"points":"1","passed":[]}}}' % FIRST],
)  # fmt: skip
def test_a_memory_that_makes_no_sense_is_none(memory: str) -> None:
    assert comment.remembered(f"{comment.MARK}{memory} -->\n") is None


@pytest.mark.parametrize(
    "run, words",
    [
        ({"event": "push"}, "not for a pull request"),
        ({"conclusion": "action_required"}, "waits for approval"),
        ({"conclusion": "cancelled", "head_sha": SECOND}, "no open pull request"),
        ({"head_sha": SECOND}, "no open pull request"),
        ({"head_branch": "other&state=closed"}, "no open pull request"),
    ],
)
def test_there_may_be_nothing_to_say(
    desk: Desk, result: dict[str, Any], run: dict[str, Any], words: str
) -> None:
    desk.leave(result)
    done = desk.report(FIRST, **run)
    assert done.status == 0 and words in done.log
    assert desk.github.comments == []


def test_no_stage_no_comment(desk: Desk) -> None:
    desk.github.files = [{"filename": "NOTES.md"}]
    assert desk.report(FIRST).status == 0
    assert desk.github.comments == []


@pytest.mark.parametrize("status", [302, 401, 404, 500])
def test_an_api_that_fails_is_told_in_one_line(
    desk: Desk, result: dict[str, Any], status: int
) -> None:
    desk.leave(result)
    desk.github.fails_with = status
    run = desk.report(FIRST)
    assert run.status == 2
    assert f"grader: GitHub says {status} to GET pulls\n" in run.log
    assert "the-token" not in run.log and "everyone" not in run.log
    assert len(desk.github.asked) == 1, "it follows nobody elsewhere"


def test_strangers_words_as_code_and_in_commands() -> None:
    assert code("a`b``c\n@d") == "`a'b''c @d`"
    assert code("") == "` `"
    assert code("x" * 300, 10) == "`" + "x" * 9 + "…`"
    said = command("error", "50 %\r\nof::x", file="a:b,c%", line=3)
    assert said == "::error file=a%3Ab%2Cc%25,line=3::50 %25%0D%0Aof::x"
