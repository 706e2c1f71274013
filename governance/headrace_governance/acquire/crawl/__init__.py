"""The polite crawler: robots, addresses, licence evidence, bounded fetching, WARC files and `captures` rows."""
