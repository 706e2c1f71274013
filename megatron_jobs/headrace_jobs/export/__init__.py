"""Checkpoints in other people's forms."""
