"""Pull requests on GitHub: graded by one workflow, which may write nothing, and
commented on by another, which runs nothing of theirs.

pull_request.py  grades what a pull request hands in (.github/workflows/grade.yml)
changes.py       what it touches, and its submission, read from git's objects
annotations.py   failed checks and the compiler's messages, at file and line
conversation.py  keeps one comment up to date (.github/workflows/report.yml)
artifact.py      the result that it is about, read as a stranger's
comment.py       what it says, and what it remembers; api.py, how it gets there
inert.py         strangers' words, so that they do nothing in a log or in Markdown
event.py         what the runner says happened
"""
