"""Whether marks in a text are Markdown or content (`documents.format`), and which kinds of lines Markdown has."""

from __future__ import annotations

MARKDOWN = "markdown"
"""Written by our extraction, or by an author as Markdown."""
PLAIN = "plain"
"""Marks are content."""
TEXT, HEADING, ITEM, ROW = range(4)
"""Kinds of lines: without a mark, and by the mark that they have; a row is a table's."""
