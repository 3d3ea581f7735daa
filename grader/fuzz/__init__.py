"""A server's clients, and what happens to them, in any order."""
