"""Passages that occur more than once: paragraphs, and long runs of text anywhere. Verdicts over spans, which are cut from shards."""
