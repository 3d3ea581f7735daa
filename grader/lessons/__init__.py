"""From a failure to a lesson: what we say about it, and its likely cause."""
