"""The checks that grade: pytest tests, one file for each theme, each test named
for what it claims. `@check("theme/name")` is a check's id in rubric.toml, which
says which stages have it, what it is worth, and which requirement it enforces.
"""

import pytest

check = pytest.mark.check
