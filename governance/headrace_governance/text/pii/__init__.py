"""Personally identifiable information: typed spans as verdicts, masked when shards are cut, never in the stored text."""
