"""Acquisition: crawl, import and sample site; what they bring is recorded as `captures`."""
