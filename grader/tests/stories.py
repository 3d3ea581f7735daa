"""Makes the stories of the default seed up anew: Hypothesis has changed, or what may
happen in a story.

/usr/bin/python3 -m grader.tests.stories     (make stories)
"""

from __future__ import annotations

import hypothesis

from grader import known_stories, make_up
from grader.result import DEFAULT_SEED
from grader.story import Step

MADE_UP_BY = f"# Made up by Hypothesis {hypothesis.__version__} (make stories).\n"


def made_up() -> list[tuple[Step, ...]]:
    """What Hypothesis makes up here, none twice."""
    stories: dict[tuple[Step, ...], None] = {}

    def remember(steps: tuple[Step, ...]) -> None:
        stories[steps] = None

    make_up.stories(remember, DEFAULT_SEED)
    return list(stories)


if __name__ == "__main__":
    known_stories.PATH.write_text(MADE_UP_BY + known_stories.text(made_up()))
