"""The checks of each stage (stages/N), and what stages share (common/)."""
