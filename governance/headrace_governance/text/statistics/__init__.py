"""Statistics of texts as columns, from which verdicts are joined: a new threshold reads no text again."""
