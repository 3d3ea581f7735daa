"""What stages share: themes of checks (test_*.py), which stages list in stage.toml, and
helpers for writing checks."""

import pytest

# @check("theme/name") says which check of stage.toml a test decides.
check = pytest.mark.check
