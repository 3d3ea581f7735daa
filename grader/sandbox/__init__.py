"""Running a program that we do not trust: isolating, bounding and ending it."""
