"""Text stages of a slice, in order: extract, language, filters, exact duplicates, select."""
