"""The grader of Echo Lab.

The way of the data is one line, and no step reaches back:

    submission → build → sandboxed program ⇄ clients → findings → result → reports

submission.py   finds the student's file, and refuses what is not one
build.py        compiles it, plainly and with sanitizers; objects.py, what of our own
                is linked with it
workplace.py    where that is done, and the compiler within its bounds
isolation.py    what keeps strangers' programs apart from the machine
sandbox.py      the cell that a program runs in; etc/, what it finds in /etc there;
                syscalls.py, what it is refused
guard.py        how much of the machine a program may use; usage.py, how much it does
strays.py       who is left when a program has ended
program.py      one running program: its output, its signals, its end
procfs.py       what the kernel shows of it, read-only
watch.py        is it stuck, and for how long has that been so
view.py         its calls and its connections in one picture: findings (FINDINGS.md
                says what each of them claims)
client.py       one end of a connection and its part of the story
scene.py        the program and all our ends, moved on by one loop, with their story
server.py       a server under test and its clients: what checks are written with
backpressure.py clients that do not read, and what they are owed
visits.py       thousands of clients, one after the other and all at once
peer.py         the scripted server that stage 2's client is tried against
transcript.py   what every client did and saw, for people and for pictures
payload.py      what clients send
bench.py        a stage's submission, built: what the checks are run on
story.py        any events of a server's clients in any order, and what must hold then
any_order.py    tells such stories: those of known_stories.py (stories.txt), and where
                one goes wrong, what make_up.py shrinks it to
checks/         the tests that grade, one file for each theme; vigil.py, a server that
                runs beside them
milestones/     unit tests of the student's functions, unscored; ladder.py runs them,
                and steps.py says where the lesson leads to each
rubric.py       what each check is worth (rubric.toml)
lesson.py       a failure, told so that one can learn from it (failure.py)
causes.py       what likely causes it (causes.toml)
difference.py   what wrong bytes look like; sanitizer.py, a sanitizer's report in words
checking.py     the checks of a stage, run by pytest, side by side; workers.py, the
                processes that do that
grade.py        puts it together, and result.py is what comes out; cli.py calls it
                (argument_types.py: the values that its options take)
report/         views of the result
github/         pull requests: graded, and commented on
regrade.py      grades again at each save (saves.py), and tells what changed
cohort.py       the grades of a whole class, in a folder; merges shards
grade_class.py  grades a class, each submission in a process of its own (child.py)
resume.py       which grades are still valid when it goes on, by fingerprint.py
class_cli.py    the commands for all that
handout.py      what students get of all this; autograder.py, the zip for Gradescope
gradescope/     what runs the grader there; classroom50/, the same for Classroom 50
"""

VERSION = "1.0"
