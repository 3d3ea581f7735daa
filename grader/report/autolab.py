"""For Autolab: one line of JSON with a score for each problem. It has to be the last
line that the autograder prints.

Source: "Guide for Lab Authors" in Autolab's documentation. The assessment's problems
must be called "stage" and the stage's number, without a space.
"""

from __future__ import annotations

import json
from typing import Any


def render(result: dict[str, Any]) -> str:
    """RESULT as Autolab reads it."""
    scores = {f"stage{stage['stage']}": stage["score"] for stage in result["stages"]}
    return json.dumps({"scores": scores, "scoreboard": [result["score"]]}) + "\n"
