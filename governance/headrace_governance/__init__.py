"""Sources, crawl, cleaning, deduplication and compliance."""
