"""Held-out bits per byte: `scoring` (nats), `unigram` (the baseline), `bits_per_byte` (intervals), `run` (the artifact)."""
