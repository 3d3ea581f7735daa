"""For instructors: whole classes, handouts, and other graders' platforms."""
