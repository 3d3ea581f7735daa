"""Keeps one comment on a pull request up to date, after its grading.

GitHub tells us which pull request that is, and what it touches. The comment shows what
the artifact says, with a warning if the pull request can have changed the workflow that
made it, or if it does not fit the pull request.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grader import course
from grader.errors import CannotGrade
from grader.github import api, artifact, changes, comment, event
from grader.github.api import Api
from grader.github.changes import is_workflow
from grader.github.comment import News
from grader.report.inert import code, short

# The author of whatever is written with a workflow's own token.
_OURSELVES = "github-actions[bot]"

# The conclusion of a run that waits for approval: the run that follows will comment.
# All other runs get a comment, even cancelled and skipped ones: a pull request can
# cause that itself, and it must not keep the grade of an earlier push that way.
_NOT_YET = "action_required"

_PAGES = 10
# The API has at most this many pages of a pull request's files.
_FILE_PAGES = 30
_PATHS_NAMED = 5


def comment_on(folder: Path) -> int:
    """Comment on the result in FOLDER, the artifact of the run that the event is about:
    exit status 0. Raises CannotGrade."""
    happened = event.load()
    if happened is None:
        raise CannotGrade("GITHUB_EVENT_PATH is not set: which run is it about?")
    run = happened.get("workflow_run")
    if event.text(run, "event") != "pull_request":
        print("comment: that run was not for a pull request")
    elif event.text(run, "conclusion") == _NOT_YET:
        print("comment: that run waits for approval; the next one will comment")
    else:
        github = api.from_environment()
        branch = event.text(happened, "repository", "default_branch")
        pulls = list(_pulls(github, run))
        for pull in pulls:
            _tell(github, pull, run, branch, folder)
        if not pulls:
            print("comment: no open pull request has that run's commit as its last")
    return 0


def _pulls(
    github: Api, run: Any, state: str = "open", pages: int = 1
) -> Iterator[dict[str, Any]]:
    """The pull requests in STATE whose head is the commit of RUN."""
    owner = event.text(run, "head_repository", "owner", "login")
    head = f"{owner}:{event.text(run, 'head_branch')}"
    sha = event.sha(run, "head_sha")
    for pull in github.listed("pulls", pages, state=state, head=head):
        if event.text(pull, "head", "sha") == sha and type(pull.get("number")) is int:
            yield pull


def _tell(
    github: Api, pull: dict[str, Any], run: Any, branch: str, folder: Path
) -> None:
    number, sha = pull["number"], event.sha(run, "head_sha")
    touched = _touched(github, number)
    if event.text(github.get(f"pulls/{number}"), "head", "sha") != sha:
        print(f"comment: #{number} has newer commits; the next run will comment")
        return
    stages, notes = _result(folder, touched, event.text(run, "conclusion"))
    doubts = [*_of_workflow(touched), *_of_base(github, pull, run, branch)]
    doubts += _of_result(stages, touched)
    warnings = [f"{doubt}: **check before you trust this.**" for doubt in doubts]
    log = f"{_server()}/{github.repository}/actions/runs/{_number(run)}"
    news = News(sha, log, stages, warnings, notes + _outside(touched, warnings))
    ours = _our_comment(github, number)
    if ours is None and not touched.stages:
        print(f"comment: #{number} touches no stage")
        return
    body = comment.write(news, comment.remembered(ours["body"]) if ours else None)
    if ours:
        github.patch(f"issues/comments/{int(ours['id'])}", {"body": body})
    else:
        github.post(f"issues/{number}/comments", {"body": body})
    print(f"comment: #{number} {'is updated' if ours else 'is new'}")


def _touched(github: Api, number: int) -> changes.Changes:
    """What a pull request touches; a renamed file counts under both names. Unknown if
    there are more files than the API lists."""
    paths = []
    files = list(github.listed(f"pulls/{number}/files", _FILE_PAGES))
    for file in files:
        paths += [file.get("filename"), file.get("previous_filename")]
    found = changes.touched([path for path in paths if isinstance(path, str)])
    if len(files) == api.PER_PAGE * _FILE_PAGES:  # any stage may be among the others
        return changes.Changes(outside=found.outside)
    return found


# -- why the result should be checked before it is trusted ----------------------

_OWN_WORK = "so it may have changed how it was graded"


def _of_workflow(touched: changes.Changes) -> Iterator[str]:
    if workflows := [path for path in touched.outside if is_workflow(path)]:
        yield f"This pull request changes {_named(workflows)}, {_OWN_WORK}"
    elif not touched.known:
        much = "touches more files than GitHub lists"
        yield f"This pull request {much}, {_OWN_WORK}"


def _of_base(github: Api, pull: dict[str, Any], run: Any, branch: str) -> Iterator[str]:
    """Doubts about the base that PULL was graded with. A run does not say which of the
    pull requests with its commit it was for, and each can have a different base."""
    base = event.text(pull, "base", "ref")
    if base != branch:
        yield (
            f"This pull request is for {code(base)}, not for {code(branch)}, and there "
            f"the grader and the rubric can differ, {_OWN_WORK}"
        )
    for other in _pulls(github, run, "all", _PAGES):
        theirs = event.text(other, "base", "ref")
        if theirs != base:
            yield (
                f"Pull request #{other['number']} has the same commit and is for "
                f"{code(theirs)}, so this may be its grade"
            )
            return


def _of_result(
    stages: list[artifact.ReportedStage], touched: changes.Changes
) -> Iterator[str]:
    if not stages:
        return
    graded = sorted(stage.number for stage in stages)
    if touched.known and graded != touched.stages:
        yield (
            f"This pull request touches these stages: {_listed(touched.stages)}; but "
            f"these were graded: {_listed(graded)}"
        )
    for stage in stages:
        ours = course.stage(stage.number).checks.values()
        if {c.id: c.max_points for c in stage.checks} != {c.id: c.points for c in ours}:
            yield f"Stage {stage.number} was not graded by the rubric that is here now"


def _listed(stages: list[int]) -> str:
    return ", ".join(map(str, stages)) or "none"


def _outside(touched: changes.Changes, warnings: list[str]) -> list[str]:
    paths = [path for path in touched.outside if not is_workflow(path)]
    if not paths:
        return []
    effect = "" if warnings else ", with no effect on the grade"
    return [f"Also touched outside `stages/`{effect}: {_named(paths)}."]


def _named(paths: list[str]) -> str:
    named = ", ".join(code(path, 100) for path in paths[:_PATHS_NAMED])
    more = len(paths) - _PATHS_NAMED
    return named + (f" and {more} more" if more > 0 else "")


def _result(
    folder: Path, touched: changes.Changes, conclusion: str
) -> tuple[list[artifact.ReportedStage], list[str]]:
    """The stages in the artifact FOLDER, and notes about it, or about a run that left
    no artifact and ended with CONCLUSION."""
    try:
        stages = artifact.read(folder)
    except artifact.Refused as refused:
        print(f"comment: the result is refused: {short(str(refused), 200)}")
        return [], [f"The run left a result that cannot be read: {refused}."]
    if stages is None and not touched.stages:
        return [], ["Nothing to grade: no stage is touched."]
    if stages is None and conclusion != "failure":
        return [], [f"The run left no result; GitHub calls it {code(conclusion)}."]
    if stages is None or any(stage.status == "grader_error" for stage in stages):
        return [], ["The grader could not finish. The log says why."]
    return stages, []


def _our_comment(github: Api, number: int) -> dict[str, Any] | None:
    """The comment that we wrote before. Anyone can write our mark, so its author
    counts."""
    for one in github.listed(f"issues/{number}/comments", _PAGES):
        author, body = one.get("user"), one.get("body")
        ours = isinstance(author, dict) and author.get("login") == _OURSELVES
        if ours and isinstance(body, str) and body.startswith(comment.MARK):
            return one
    return None


def _number(run: Any) -> int:
    found = run.get("id")
    if type(found) is not int:
        raise CannotGrade("the event has no workflow_run.id")
    return found


def _server() -> str:
    return os.environ.get("GITHUB_SERVER_URL", "https://github.com")
