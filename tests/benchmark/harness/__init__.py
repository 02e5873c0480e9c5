"""Runs Cairn and its baselines in turn, and says how they compare. See ../README.md."""
