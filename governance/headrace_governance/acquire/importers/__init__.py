"""Importers: WARC files, Parquet and JSON Lines dumps and folders, into the same `captures` rows as a crawl."""
