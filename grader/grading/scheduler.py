"""Which check is begun when: side by side, each after those that it builds on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection

from grader.course import Check
from grader.errors import CannotGrade
from grader.grading.order import urgency
from grader.grading.pool import Workers
from grader.grading.progress import Progress
from grader.grading.request import Request
from grader.grading.result import CheckResult, Milestone, StageResult
from grader.grading.verdicts import Verdicts

# What a worker does besides checks.
MILESTONES = "milestones"

# What comes of a job: the milestones, or the verdict on a check.
Answer = list[Milestone] | CheckResult

# How long to wait for an answer before progress is told again.
_TELL_SECONDS = 1.0


class Scheduler:
    """Has workers try CHECKS, and the milestones if REQUEST asks for them. STAGE and
    VERDICTS grow by their answers. Each time, STAGE is saved (KEEP), and then PROGRESS
    is told."""

    def __init__(
        self,
        checks: dict[str, Check],
        verdicts: Verdicts,
        stage: StageResult,
        request: Request,
        progress: Progress,
        keep: Callable[[], None],
    ) -> None:
        self._checks = checks
        self._verdicts = verdicts
        self._stage = stage
        self._request = request
        self._progress = progress
        self._keep = keep
        self._milestones_pending = request.milestones and not request.only  # still
        self._answers: dict[str, CheckResult | None] = {}  # not yet taken
        self._told = 0

    def run(self, collected: Collection[str], workers: Workers[Answer]) -> None:
        """Have WORKERS try those of the checks whose ids were COLLECTED. Raises
        CannotGrade if one could not be tried, or not in time."""
        waiting = self._in_order([id for id in self._checks if id in collected])
        try:
            if self._milestones_pending:
                workers.give(MILESTONES)
            else:
                self._progress.milestones_done(self._stage)
            while waiting or workers.busy:
                waiting = [id for id in waiting if not self._is_begun(id, workers)]
                if not waiting and all(map(self._stays, workers.busy)):
                    workers.tell_who_stays()
                self._tell(workers.busy)
                seconds = min(_TELL_SECONDS, self._verdicts.left())
                for job, answer in workers.done(seconds):
                    self._take(job, answer)
                self._judge(workers)
                if self._verdicts.left() <= 0:
                    self._verdicts.time_is_up(sum(workers.seconds()))
                    break
        finally:
            workers.end()
        self._tell([])

    def _in_order(self, ids: list[str]) -> list[str]:
        """IDS in the order in which to begin them. If several run at once, those come
        first that were asked for first, and then those that begin the longest chains.
        """
        if self._request.jobs == 1:
            return ids
        seconds, first = urgency(self._checks), self._request.first
        return sorted(ids, key=lambda id: (id not in first, -seconds[id]))

    def _is_begun(self, id: str, workers: Workers[Answer]) -> bool:
        """Begin the check ID, if all that it builds on is done, and a worker is free;
        or skip it. Returns whether either happened. One that stays begins at once: its
        answer waits until it is known what became of what it builds on."""
        if self._stays(id):
            workers.give(id, stays=True)
            return True
        if not self._verdicts.needs_are_done(id):
            return False
        if self._verdicts.skips(id):
            return True
        if not workers.have_room:
            return False
        workers.give(id)
        return True

    def _stays(self, job: str) -> bool:
        return job != MILESTONES and self._checks[job].stays

    def _take(self, job: str, answer: Answer | None) -> None:
        """Take the ANSWER to a job: a verdict, or the milestones."""
        if job == MILESTONES:
            if not isinstance(answer, list):
                raise CannotGrade("the process that ran the milestones has ended")
            self._stage.milestones = answer
            self._milestones_pending = False
            self._keep()
            self._progress.milestones_done(self._stage)
            return
        self._answers[job] = answer if isinstance(answer, CheckResult) else None

    def _judge(self, workers: Workers[Answer]) -> None:
        """Record the answers to checks that build on nothing that is not done. If what
        a check builds on failed, it is skipped, even if its answer is already here."""
        for id in self._verdicts.results:
            is_open = id in self._answers or id in workers.busy
            if not (is_open and self._verdicts.needs_are_done(id)):
                continue
            if self._verdicts.lacks_foundation(id):
                workers.give_up(id)
                self._answers.pop(id, None)
            elif id in self._answers:
                self._verdicts.record(id, self._answers.pop(id))

    def _tell(self, busy: list[str]) -> None:
        """Tell PROGRESS which checks are in progress (BUSY), and the verdicts that are
        new, in the order of the report, or of what was asked for first."""
        done, untold = self._verdicts.done, list(self._checks)[self._told :]
        known = list(itertools.takewhile(done.__contains__, untold))
        if known and not self._milestones_pending:
            self._keep()  # before it is told, so that a reader finds it in the file
            self._told += len(known)
            for id in known:
                self._progress.check_ends(self._verdicts.results[id])
        if under_way := [self._checks[job] for job in busy if job in self._checks]:
            self._progress.checks_begin(under_way, len(done))
