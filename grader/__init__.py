"""The grader of Echo Lab.

The way of the data is one line, and imports run only down this list:

    submission → build → sandboxed program ⇄ clients → findings → result → reports

cli.py       the command line
grade_cli.py the command line of a grade, which most ask for
teaching/    whole classes, handouts, and other graders' platforms
watch/       grading again at each save
github/      pull requests: graded, and commented on
report/      views of the result
grading/     from a submission to a result: its build, its milestones, its checks
lessons/     from a failure to a lesson, with the likely cause
fuzz/        a server's clients in any order of events
harness/     driving a program: our ends of its connections, and what is seen of it
sandbox/     running a stranger's program: kept apart, bounded, and ended
kernel/      what Linux shows of a process and of its sockets
argument_types.py
             the values that options take
course.py    which stages there are, and what each of them asks for
errors.py, text.py

stages/N/    all that is particular to stage N, and stages/common/, what stages share
tests/       the grader's own tests
"""

VERSION = "1.0"
