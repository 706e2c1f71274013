"""Reading a log that is a file, by offset, while somebody writes to it."""

from __future__ import annotations

import codecs
from pathlib import Path

from headrace_operators.launchers.job import LogPart


def read_part(file: Path, offset: int, *, complete: bool) -> LogPart:
    """What a log in UTF-8 holds from so many bytes on. What is not UTF-8 is shown as U+FFFD.

    Args:
        complete: nobody writes to it any more. Otherwise the bytes of a character that is not whole yet are left for the next part.
    """
    try:
        with file.open("rb") as log:
            log.seek(offset)
            data = log.read()
    except FileNotFoundError:
        return LogPart("", offset)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = decoder.decode(data, final=complete)
    return LogPart(text, offset + len(data) - len(decoder.getstate()[0]))
