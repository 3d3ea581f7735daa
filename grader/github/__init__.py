"""Pull requests on GitHub: one workflow grades them and may write nothing; another one
comments on them and runs none of their code.

pull_request.py  grades what a pull request hands in (.github/workflows/grade.yml)
changes.py       what it touches, and its submission, read from git's objects
annotations.py   failed checks and the compiler's messages, at file and line
conversation.py  keeps one comment up to date (.github/workflows/report.yml)
artifact.py      the result that the comment is about, which is not trusted
comment.py       what the comment says and remembers; api.py, how it gets to GitHub
event.py         what happened, according to the runner
"""
