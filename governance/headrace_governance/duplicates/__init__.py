"""Duplicates, whatever the modality: exact, near and repeated passages, and which copy is kept."""
