"""Pull requests on GitHub: graded by one workflow, which may write nothing, and
commented on by another, which runs nothing of theirs.

pull_request.py  grades what a pull request hands in (.github/workflows/grade.yml)
changes.py       what it touches, and its submission, read from git's objects
annotations.py   failed checks and the compiler's messages, at file and line
inert.py         strangers' words, so that they do nothing in a log or in Markdown
event.py         what the runner says happened
"""
