"""Values of `documents.format`: whether marks in a text are Markdown or content."""

from __future__ import annotations

MARKDOWN = "markdown"
"""Written by our extraction, or by an author as Markdown."""
PLAIN = "plain"
"""Marks are content."""
