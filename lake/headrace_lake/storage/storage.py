"""Bytes under the lake's root: the same calls for a local folder and for an S3 bucket.

Writes are atomic: locally a temporary file is flushed, synced and renamed; on S3 an object appears when its upload
completes. `exclusive=True` lets exactly one of many racing writers win (`O_EXCL` link, or `If-None-Match: *`).
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.fs as pafs

from headrace_lake.errors import HeadraceError, InputError, StorageError
from headrace_lake.settings import LakeSettings
from headrace_lake.storage.object_cache import cached

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class StoredObject:
    """One object in a listing: path relative to the root, size in bytes, seconds since its last write."""

    path: str
    bytes: int
    age_seconds: float


_FROM_STORE = ("botocore", "aiobotocore", "aiohttp", "sqlalchemy")
"""Packages whose own exceptions mean that the object store or the catalog's database did not answer as it should."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the errors of the operating system, the object store and the catalog's database into ours, naming the object."""
    try:
        yield
    except HeadraceError:
        raise
    except FileNotFoundError as exc:
        raise InputError(f"{what}: no such object", "check the path, or run the stage that writes it") from exc
    except OSError as exc:
        if exc.errno in _NO_SPACE or "No space left" in str(exc):
            raise StorageError(
                f"{what}: no space left on the device", "free disk space or run 'headrace table vacuum', then run again"
            ) from exc
        raise StorageError(f"{what}: {_one_line(exc.strerror or exc)}", _CHECK) from exc
    except Exception as exc:
        if type(exc).__module__.partition(".")[0] not in _FROM_STORE:
            raise
        # The driver's own words where there are some: SQLAlchemy adds the statement and a link.
        raise StorageError(f"{what}: {_one_line(getattr(exc, 'orig', None) or exc)}", _CHECK) from exc


_CHECK = "check that the storage below the lake ('lake' in the settings) runs, is reachable and lets you in"


def _one_line(problem: object) -> str:
    return " ".join(str(problem).split())[:300] or type(problem).__name__


class Storage:
    """The object store of one lake."""

    def __init__(self, settings: LakeSettings, base: Path) -> None:
        self.settings = settings
        self.remote = settings.root.startswith("s3://")
        self.root = settings.root.rstrip("/") if self.remote else str((base / settings.root).resolve())

    # -- names ---------------------------------------------------------------------------------------------------

    def uri(self, path: str) -> str:
        """The absolute address of a relative path, as Iceberg metadata holds it."""
        return f"{self.root}/{path}" if self.remote else f"file://{self.root}/{path}"

    def relative(self, uri: str) -> str:
        """The inverse of `uri`."""
        prefix = self.uri("")
        if not uri.startswith(prefix):
            raise InputError(f"{uri}: outside the lake at {self.root}", "open the lake that wrote it")
        return uri[len(prefix) :]

    # -- file systems --------------------------------------------------------------------------------------------

    def iceberg_properties(self) -> dict[str, str]:
        """What pyiceberg's file access needs; holds secrets, so never log it."""
        s3 = self.settings.s3
        if not self.remote or s3 is None:
            return {}
        return {
            "s3.endpoint": s3.endpoint,
            "s3.region": s3.region,
            "s3.access-key-id": s3.access_key.reveal(),
            "s3.secret-access-key": s3.secret_key.reveal(),
            "s3.force-virtual-addressing": "false",
        }

    @cached_property
    def arrow(self) -> pafs.FileSystem:
        """A pyarrow file system whose paths are relative to the root."""
        s3 = self.settings.s3
        if not self.remote or s3 is None:
            return pafs.SubTreeFileSystem(self.root, pafs.LocalFileSystem(use_mmap=True))
        scheme, _, host = s3.endpoint.partition("://")
        base = pafs.S3FileSystem(
            access_key=s3.access_key.reveal(),
            secret_key=s3.secret_key.reveal(),
            region=s3.region,
            endpoint_override=host,
            scheme=scheme,
            force_virtual_addressing=False,
        )
        return pafs.SubTreeFileSystem(self.root.removeprefix("s3://"), base)

    @cached_property
    def _s3(self) -> Any:
        """s3fs, for the conditional writes that pyarrow does not offer."""
        import s3fs

        s3 = self.settings.s3
        assert s3 is not None
        return s3fs.S3FileSystem(
            key=s3.access_key.reveal(),
            secret=s3.secret_key.reveal(),
            endpoint_url=s3.endpoint,
            client_kwargs={"region_name": s3.region},
            skip_instance_cache=True,
            use_listings_cache=False,
        )

    def _key(self, path: str) -> str:
        return f"{self.root.removeprefix('s3://')}/{path}"

    # -- writing -------------------------------------------------------------------------------------------------

    def put_file(self, local: str | Path, path: str) -> None:
        """Copy a local file to `path`, atomically; an equal name is replaced."""
        with explained(path):
            if self.remote:
                self._s3.put_file(str(local), self._key(path))
            else:
                with open(local, "rb") as src, self._replacing(path) as dst:
                    shutil.copyfileobj(src, dst, 1 << 20)

    def put_bytes(self, path: str, data: bytes | memoryview | pa.Buffer, *, exclusive: bool = False) -> bool:
        """Write `data` to `path`, atomically.

        Returns:
            False if `exclusive` was asked for and somebody else had written `path` already; else True.
        """
        view = memoryview(data)
        with explained(path):
            if self.remote:
                try:
                    self._s3.pipe_file(self._key(path), bytes(view), mode="create" if exclusive else "overwrite")
                except FileExistsError:
                    return False
                except OSError as exc:
                    # s3fs answers a lost exclusive create with EINVAL; look whether that is what happened.
                    if exclusive and exc.errno == errno.EINVAL and self.exists(path):
                        return False
                    raise
                return True
            if not exclusive:
                with self._replacing(path) as f:
                    f.write(view)
                return True
            return self._create_once(path, view)

    def _create_once(self, path: str, data: memoryview) -> bool:
        target = Path(self.root) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
        try:
            with os.fdopen(fd, "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            os.unlink(temporary)
        return True

    @contextmanager
    def together(self) -> Iterator[GatheredWrites]:
        """Writes that are asked for one by one and made at the block's end, none of them if the block raises.

        Where the making itself fails, some may be there, each whole: nothing may rely on one before the block has ended.
        A disk is asked once for all whether it has the bytes, and an object store is sent them side by side.
        """
        writes = GatheredWrites(self)
        try:
            yield writes
            writes.make()
        finally:
            writes.forget()

    @contextmanager
    def _replacing(self, path: str) -> Iterator[IO[bytes]]:
        target = Path(self.root) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
        try:
            with os.fdopen(fd, "wb") as f:
                yield f
                f.flush()
                os.fsync(f.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, target)
        except BaseException:
            with _quiet():
                os.unlink(temporary)
            raise

    # -- reading -------------------------------------------------------------------------------------------------

    def exists(self, path: str) -> bool:
        """Whether an object lies at `path`."""
        return bool(self._info(path).type == pafs.FileType.File)

    def holds(self, path: str, size: int) -> bool:
        """Whether an object of this many bytes lies at `path`; a half-written one has another size."""
        info = self._info(path)
        return bool(info.type == pafs.FileType.File and info.size == size)

    def _info(self, path: str) -> pafs.FileInfo:
        with explained(path):
            return self.arrow.get_file_info(path)

    def size(self, path: str) -> int:
        """Size in bytes.

        Raises:
            InputError: no such object.
        """
        info = self._info(path)
        if info.type != pafs.FileType.File:
            raise InputError(f"{path}: no such object in the lake at {self.root}", "check the path, or run the stage that writes it")
        return int(info.size)

    def read_bytes(self, path: str) -> bytes:
        """The whole object."""
        with explained(path), self.arrow.open_input_file(path) as f:
            return bytes(f.read())

    def open_input(self, path: str) -> pa.NativeFile:
        """A seekable reader."""
        with explained(path):
            return self.arrow.open_input_file(path)

    def local_path(self, path: str) -> Path:
        """A local file with the object's bytes: the object itself, or a copy in a private cache, checked by its digest.

        Only immutable objects may be asked for: the copy is not refreshed.
        """
        if not self.remote:
            return Path(self.root) / path
        with explained(path):
            return cached(self.uri(path), lambda target: self._s3.get_file(self._key(path), target))

    def list(self, prefix: str) -> list[StoredObject]:
        """All objects below a folder, sorted by path."""
        now = time.time()
        with explained(prefix):
            infos = self.arrow.get_file_info(pafs.FileSelector(prefix, recursive=True, allow_not_found=True))
        found = [
            StoredObject(i.path, int(i.size), now - i.mtime.timestamp() if i.mtime is not None else 0.0)
            for i in infos
            if i.type == pafs.FileType.File
        ]
        return sorted(found, key=lambda o: o.path)

    def delete(self, path: str) -> None:
        """Remove one object; a missing one is not an error."""
        with _quiet():
            self.arrow.delete_file(path)


class GatheredWrites:
    """Whole objects that wait to be written (see `Storage.together`)."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._local: dict[str, tuple[int, str]] = {}
        self._remote: dict[str, bytes] = {}

    def put_bytes(self, path: str, data: bytes | memoryview | pa.Buffer) -> bool:
        """Take an object; of equal names the last one counts. The bytes are not held here, unless the store is remote."""
        if self._storage.remote:
            self._remote[self._storage._key(path)] = bytes(memoryview(data))
            return True
        target = Path(self._storage.root) / path
        with explained(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            fd, temporary = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
            before = self._local.pop(path, None)
            self._local[path] = (fd, temporary)
            if before is not None:
                _close_and_remove(*before)
            with open(fd, "wb", buffering=0, closefd=False) as f:
                view = memoryview(data)
                while view:
                    view = view[f.write(view) :]
            os.fchmod(fd, 0o644)
        return True

    def make(self) -> None:
        """Write what was taken."""
        if self._remote:
            with explained(next(iter(self._remote))):
                self._storage._s3.pipe(self._remote)
            self._remote = {}
        for path, (fd, _) in self._local.items():  # all of them first: the disk then works on one after the other by itself
            with explained(path):
                os.fsync(fd)
        for path in [*self._local]:
            with explained(path):
                fd, temporary = self._local[path]
                os.replace(temporary, Path(self._storage.root) / path)
                del self._local[path]
                os.close(fd)

    def forget(self) -> None:
        """Leave nothing of what was taken and not made."""
        for fd, temporary in self._local.values():
            _close_and_remove(fd, temporary)
        self._local, self._remote = {}, {}


def _close_and_remove(fd: int, temporary: str) -> None:
    os.close(fd)
    with _quiet():
        os.unlink(temporary)


@contextmanager
def _quiet() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, OSError):
        return
