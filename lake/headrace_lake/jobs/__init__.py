"""Remote jobs as the lake records them: who owns one, may it start, was it stopped."""
