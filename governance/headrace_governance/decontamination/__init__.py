"""Decontamination: evaluation items that occur in training documents, found, attributed and reported."""
