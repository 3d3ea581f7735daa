"""The part of GitHub's REST API that one comment needs."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from grader.errors import CannotGrade

_SECONDS = 30
_LARGEST = 16 << 20
PER_PAGE = 100
_URL = re.compile(r"https://[\w.-]+(:\d+)?(/[\w./-]*)?|http://127\.0\.0\.1:\d+")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, so that the token goes nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        """See HTTPRedirectHandler."""


_open = urllib.request.build_opener(_NoRedirects).open


@dataclass(frozen=True)
class Api:
    """The API at URL, for REPOSITORY. Paths are relative to repos/REPOSITORY. All
    methods raise CannotGrade."""

    url: str
    repository: str
    token: str = field(repr=False)

    def get(self, path: str, **query: str | int) -> Any:
        """What is at PATH."""
        words = f"?{urllib.parse.urlencode(query)}" if query else ""
        return self._ask("GET", f"{path}{words}", None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Create something from BODY below PATH."""
        return self._ask("POST", path, body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """Change what is at PATH to BODY."""
        return self._ask("PATCH", path, body)

    def listed(self, path: str, pages: int, **query: str) -> Iterator[dict[str, Any]]:
        """What is listed at PATH: at most PAGES pages of a hundred items."""
        for page in range(1, pages + 1):
            found = self.get(path, **query, per_page=PER_PAGE, page=page)
            if not isinstance(found, list):
                raise CannotGrade(f"GitHub's answer to {path} is not a list")
            yield from (one for one in found if isinstance(one, dict))
            if len(found) < PER_PAGE:
                return

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/repos/{self.repository}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "User-Agent": "echo-lab",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        what = f"{method} {path.partition('?')[0]}"
        try:
            with _open(request, timeout=_SECONDS) as answer:
                content = answer.read(_LARGEST + 1)
        except urllib.error.HTTPError as error:
            raise CannotGrade(f"GitHub says {error.code} to {what}") from None
        except OSError as error:  # includes URLError and time-outs
            raise CannotGrade(f"GitHub does not answer {what}: {error}") from None
        try:
            return json.loads(content) if len(content) <= _LARGEST else _too_much()
        except (ValueError, RecursionError):
            raise CannotGrade(f"GitHub's answer to {what} makes no sense") from None


def _too_much() -> None:
    raise ValueError("too much")


def from_environment() -> Api:
    """The API that the runner's environment variables name. Raises CannotGrade."""
    given = {}
    for name in ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN"):
        given[name] = os.environ.get(name, "")
        if not given[name]:
            raise CannotGrade(f"{name} is not set")
    url, repository, token = given.values()
    if not _URL.fullmatch(url):
        raise CannotGrade("GITHUB_API_URL is not an https address")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise CannotGrade("GITHUB_REPOSITORY is not OWNER/NAME")
    return Api(url.rstrip("/"), repository, token)
