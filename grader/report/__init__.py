"""Views of a result: one module for each form of report."""
