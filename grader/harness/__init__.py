"""Driving a program: our ends of its connections, and what is seen of it."""
