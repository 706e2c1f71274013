"""Folders that no other user of the machine can enter: mode 0700, owned by us, no symbolic link.

A predictable name in a folder that everybody writes to (`/tmp`) can be taken by somebody else first. So whoever uses such a folder looks at
its owner each time (`private_folder`), or takes a random name and remembers it in a folder of its own (`remembered_folder`).
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from headrace_lake.errors import ConfigError

SOCKET_PATH_BYTES = 107
"""Longest path of a Unix socket on Linux, `sun_path` without its closing zero byte (unix(7))."""


def is_private(path: Path, owner: int | None = None) -> bool:
    """Is this a folder, no link, of mode 0700 or stricter, that belongs to us (or to the user with this id)?"""
    try:
        found = path.lstat()
    except OSError:
        return False
    mine = os.geteuid() if owner is None else owner
    return stat.S_ISDIR(found.st_mode) and found.st_uid == mine and not stat.S_IMODE(found.st_mode) & 0o077


def private_folder(path: Path) -> Path:
    """The folder, made if it is missing, and closed to others if it is ours and open.

    Raises:
        ConfigError: it belongs to another user, or is a link or a file.
    """
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o700)
    if not is_private(path):
        raise ConfigError(
            f"{path} is not a private folder of user {os.geteuid()}: it belongs to another user, or is a link or a file",
            "remove it, or choose another place for temporary files with TMPDIR",
        )
    return path


def remembered_folder(note: Path, owner: int | None = None) -> Path:
    """A private folder with a short random name under the system's temporary folder, for Unix sockets; its path is kept in the file `note`.

    A folder that was removed meanwhile, or that is no longer private, is replaced by a new one.

    Args:
        note: file in a folder of ours.
        owner: id of the user who is to own the folder, where that is not us; needs root.
    """
    try:
        known = Path(note.read_text(encoding="utf-8").strip())
        if known.is_absolute() and is_private(known, owner):
            return known
    except (OSError, ValueError):
        pass
    made = Path(tempfile.mkdtemp(prefix="hr-"))
    if owner is not None:
        os.chown(made, owner, -1)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(str(made), encoding="utf-8")
    return made
