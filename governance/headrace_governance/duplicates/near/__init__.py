"""Near duplicates: MinHash signatures, stored once, and the verdict that compares them across slices."""
