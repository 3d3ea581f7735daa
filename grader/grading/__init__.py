"""From a submission to a result."""
