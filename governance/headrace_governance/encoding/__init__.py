"""Character encodings: from bytes, and what they are declared as, to text."""
