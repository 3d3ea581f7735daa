"""Grading again each time that the student saves."""
