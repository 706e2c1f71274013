"""Cache of remote objects on the local disk: private folder, every object checked by digest before it is used.

One folder for each user under the system's temporary folder (TMPDIR), shared by all processes of that user; an object is fetched once.
A file whose bytes are no longer those that were fetched is thrown away and fetched again. What it costs: one reading of the file by each
process that uses it, at about 1 GB/s.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from headrace_lake.errors import StorageError
from headrace_lake.fingerprint import digest_bytes, file_digest
from headrace_lake.storage.private_folder import private_folder

_CONTENT_NAMED = re.compile(
    r"(?:^|/)data/[^/]+/[^/]+/[^/]+/\d{5,}+-([0-9a-f]{32})\.parquet$|(?:^|/)objects/[^/]+/[0-9a-f]{2}/([0-9a-f]{32})(?:\.[^/]*)?$"
)
"""Objects whose names are the digests of their bytes: shards (`shards`) and objects (`objects`)."""
_judged: dict[Path, tuple[int, int, int]] = {}
"""Files that this process has found whole: size, time of change and inode."""


def cache_folder() -> Path:
    """The folder of this user's cache, made on first use.

    Raises:
        ConfigError: somebody else has taken its name.
    """
    return private_folder(Path(tempfile.gettempdir()) / f"headrace-cache-{os.geteuid()}")


def cached(uri: str, fetch: Callable[[str], None]) -> Path:
    """A local file with an immutable object's bytes.

    Args:
        uri: the object's address.
        fetch: writes the object to a path.

    Raises:
        StorageError: the store gave other bytes than the object's name says.
    """
    folder = private_folder(cache_folder() / digest_bytes(uri.encode()))
    file, note = folder / uri.rpartition("/")[2], folder / ".digest"
    if _whole(file, note):
        return file
    temporary = Path(tempfile.mkstemp(dir=folder, prefix=".tmp-")[1])
    try:
        fetch(str(temporary))
        digest, named = file_digest(temporary), _CONTENT_NAMED.search(uri)
        if named is not None and digest not in named.groups():
            raise StorageError(
                f"{uri}: the store gave bytes with the digest {digest}, which its name does not bear",
                "the object is damaged or was replaced: restore it from a copy, or run the stage that writes it",
            )
        temporary.chmod(0o600)
        os.replace(temporary, file)
        temporary.write_text(digest, encoding="ascii")
        os.replace(temporary, note)
    finally:
        temporary.unlink(missing_ok=True)
    _judged[file] = _state(file)
    return file


def _whole(file: Path, note: Path) -> bool:
    """Does the file hold what was fetched? Its bytes are read once a process, and again when it has changed."""
    try:
        now = _state(file)
        if _judged.get(file) == now:
            return True
        if file.is_symlink() or file_digest(file) != note.read_text(encoding="ascii"):
            return False
    except OSError:
        return False
    _judged[file] = now
    return True


def _state(file: Path) -> tuple[int, int, int]:
    found = file.lstat()
    return found.st_size, found.st_mtime_ns, found.st_ino
