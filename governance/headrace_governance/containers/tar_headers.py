"""Tar headers under limits: `tarfile` reads a pax or GNU long-name header whole, whatever size it claims.

`BoundedHeader` is given to `tarfile.open` as `tarinfo`. A header beyond `MAX_HEADER` is passed over in blocks without being held, and the
member that it belongs to is marked `unread`; so is a sparse file, whose map has no bound in the format and which no package of texts holds.
Global pax headers are passed over: they would be kept for the rest of the archive, and say nothing that is read here.
"""

from __future__ import annotations

import tarfile
from typing import Any, Self

MAX_HEADER = 1 << 20
"""Bytes of a pax (POSIX.1-2008, "pax Interchange Format") or GNU long-name header: a path of Linux has at most
4,096, an extended attribute 64 KiB."""
_LONG = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


class BoundedHeader(tarfile.TarInfo):
    """A member's header, read under limits.

    Attributes:
        unread: (reason, detail) why the member's content must not be read; None if it may be.
    """

    unread: tuple[str, str] | None = None

    def _proc_member(self, archive: tarfile.TarFile) -> Self:
        if self.size < 0:
            raise tarfile.ReadError(f"{self.name[:100]!r} has the size {self.size}")
        if self.type == tarfile.XGLTYPE:
            return self._passed_over(archive, None)
        if self.type in _LONG and self.size > MAX_HEADER:
            return self._passed_over(archive, ("too_large", f"its header has {self.size} bytes, more than {MAX_HEADER}"))
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]

    def _passed_over(self, archive: Any, unread: tuple[str, str] | None) -> Self:
        """The member behind this header, which is not held."""
        archive.fileobj.seek(archive.fileobj.tell() + self._block(self.size))  # type: ignore[attr-defined]
        try:
            member = type(self).fromtarfile(archive)
        except tarfile.HeaderError as exc:
            raise tarfile.SubsequentHeaderError(str(exc)) from None  # type: ignore[attr-defined]
        member.offset = self.offset
        member.unread = unread or member.unread
        return member

    def _proc_sparse(self, archive: Any) -> Self:
        """Old GNU sparse files: the blocks of the map are passed over."""
        _, extended, size = self._sparse_structs  # type: ignore[attr-defined]
        del self._sparse_structs  # type: ignore[attr-defined]
        while extended:
            block = archive.fileobj.read(tarfile.BLOCKSIZE)
            extended = len(block) == tarfile.BLOCKSIZE and bool(block[504])
        self.offset_data = archive.fileobj.tell()
        archive.offset = self.offset_data + self._block(self.size)  # type: ignore[attr-defined]
        self.size, self.unread = size, ("link", "a sparse file")
        return self

    def _sparse_by_pax(self, member: Any, *_: object) -> None:
        member.unread = ("link", "a sparse file")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _sparse_by_pax
