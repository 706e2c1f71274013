"""Fetching a slice: by the crawler or the importer, whichever the source's `fetch.kind` asks for."""

from __future__ import annotations

from headrace_governance.acquire.crawl.crawler import Progress
from headrace_governance.acquire.crawl.run import crawl_slice
from headrace_governance.sources.source import CrawlFetch, Source
from headrace_lake.errors import ConfigError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.slices import Slice


def fetch_slice(
    lake: Lake, source: Source, slice_: Slice, *, base_url: str | None = None, refresh: bool = False, progress: Progress | None = None
) -> Receipt:
    """Crawl or import one slice, or adopt what the lake holds already.

    Raises:
        ConfigError: the slice is not of this source, or `base_url` is given for an import.
        InputError: nothing could be kept, or a file to import is missing or damaged.
    """
    if slice_.source != source.id:
        raise ConfigError(f"slice {slice_} is not of source {source.id}", f"write {source.id}/{slice_.interval}")
    if isinstance(source.fetch, CrawlFetch):
        return crawl_slice(lake, source, slice_, base_url=base_url, refresh=refresh, progress=progress)
    if base_url:
        raise ConfigError(f"source {source.id} is imported ({source.fetch.kind}), it has no base_url", "leave --base-url out")
    from headrace_governance.acquire.importers.run import import_slice

    return import_slice(lake, source, slice_, refresh=refresh, progress=progress)
