"""Megatron writes a checkpoint's files from processes of its own: a forked writer for each file and a spawned queue server.

The server outlives a killed trainer, imports its main module and takes 270 MB; the writers fork a process that holds threads of
Arrow and pyiceberg. For a save that everybody waits for, both are needless: inside `in_this_process` the files are written
one after the other by the process itself, and an error of the disk arrives as what it is.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def in_this_process() -> Iterator[None]:
    """Inside, `dist_checkpointing.save` starts no process."""
    from megatron.core.dist_checkpointing.strategies import filesystem_async

    writer = filesystem_async.FileSystemWriterAsync
    before = filesystem_async._get_write_results_queue, writer.__dict__["write_preloaded_data_multiproc"]
    filesystem_async._get_write_results_queue = lambda *args, **options: queue.Queue()
    writer.write_preloaded_data_multiproc = staticmethod(_write)
    try:
        yield
    finally:
        filesystem_async._get_write_results_queue, writer.write_preloaded_data_multiproc = before


def _write(transforms: Any, use_msc: bool, rank: int, buckets: list[Any], results: queue.Queue[Any]) -> None:
    """Megatron's own writer for each file; `results` gets what its caller expects: file number → what was written."""
    from megatron.core.dist_checkpointing.strategies.filesystem_async import FileSystemWriterAsync

    written: dict[int, Any] = {}
    for number, bucket in enumerate(buckets):
        one: queue.Queue[Any] = queue.Queue()
        started: queue.Queue[int] = queue.Queue()
        started.put(number)
        FileSystemWriterAsync.write_preloaded_data(transforms, number, bucket, one, started, True, use_msc=use_msc)
        _, found = one.get()
        if isinstance(found, Exception):
            raise found
        written[number] = found
    results.put(written)
