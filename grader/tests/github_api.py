"""As much of GitHub's API as one comment needs, served on loopback. Tests fill it, and
see what it was asked."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPOSITORY = "school/echo-lab"
BOT = {"login": "github-actions[bot]", "type": "Bot"}


@dataclass
class GitHub:
    """A repository's pull requests, the files of each, and its comments."""

    pulls: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, str]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    fails_with: int = 0
    pushed_meanwhile: str = ""
    url: str = ""

    def answer(self, method: str, address: str, body: Any) -> tuple[int, Any]:
        """The status and the body of the answer to one request."""
        parts = urlsplit(address)
        path = parts.path.removeprefix(f"/repos/{REPOSITORY}/")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(f"{method} {path}")
        if self.fails_with:
            return self.fails_with, {"message": "@everyone"}
        if (method, path) == ("GET", "pulls"):
            return 200, _page([p for p in self.pulls if _is_asked_for(p, query)], query)
        if found := re.fullmatch(r"pulls/(\d+)", path):
            return 200, next(p for p in self.pulls if p["number"] == int(found[1]))
        if re.fullmatch(r"pulls/\d+/files", path):
            if self.pushed_meanwhile:
                self.pulls[0]["head"]["sha"] = self.pushed_meanwhile
            return 200, _page(self.files, query)
        if found := re.fullmatch(r"(issues/\d+)/comments", path):
            issue = f"{self.url}/repos/{REPOSITORY}/{found[1]}"
            if method == "GET":
                ours = [one for one in self.comments if one["issue_url"] == issue]
                return 200, _page(ours, query)
            new = {"id": len(self.comments) + 1, "user": BOT, "issue_url": issue}
            self.comments.append(new | body)
            return 201, self.comments[-1]
        if found := re.fullmatch(r"issues/comments/(\d+)", path):
            self.comments[int(found[1]) - 1] |= body
            return 200, {}
        return 404, {}


def _is_asked_for(pull: dict[str, Any], query: dict[str, str]) -> bool:
    state = pull.get("state", "open")
    return pull["head"]["label"] == query["head"] and query["state"] in (state, "all")


def _page(all_of_them: list[Any], query: dict[str, str]) -> list[Any]:
    many, page = int(query["per_page"]), int(query["page"])
    return all_of_them[many * (page - 1) : many * page]


@contextmanager
def served(github: GitHub) -> Iterator[GitHub]:
    """Serve GITHUB at its url."""

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or "null")
            status: int = 401
            answer: Any = {}
            if self.headers["Authorization"] == "Bearer the-token":
                status, answer = github.answer(self.command, self.path, body)
            self.send_response(status)
            self.send_header("Location", f"{github.url}/elsewhere")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = do_PATCH = _any

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        github.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield github
        finally:
            server.shutdown()
