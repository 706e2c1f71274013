"""The one exception tree. Users catch `HeadraceError`; every leaf says what is wrong and the way out.

HeadraceError                 exit code 2 at the command line: the user can mend it
├── ConfigError               a YAML file, field or option is wrong
├── SourceError               a source has no licence basis, or may not be fetched
├── InputError                a data file, table or slice is missing or damaged
├── LakeError                 the lake refused an operation
│   ├── SliceConflict         somebody else committed the same slice meanwhile
│   ├── JobStopped            the job that this process belongs to was stopped (in `job_ledger`)
│   └── StorageError          disk full, object store unreachable
├── StaleError                exit code 1: slices are out of date, and nothing is made of them (`headrace_lake.engine.stale`)
├── StageError                a stage broke its contract (lost rows, wrong schema)
│   └── ExpectationError      a table does not meet an expectation of severity `error`; nothing of it was committed
├── GateError                 a Go/No-Go gate refused, or has no valid decision
├── DropRateError              a filter took nearly everything of a source
└── ServiceError              a local service did not start (port in use, binary missing)
"""

from __future__ import annotations


class HeadraceError(Exception):
    """Base of everything a user can mend.

    Args:
        what: one line naming the file, row or field.
        way_out: one line saying what to do about it.
    """

    exit_code = 2

    def __init__(self, what: str, way_out: str = "") -> None:
        self.what = what
        self.way_out = way_out
        super().__init__(f"{what}. {way_out}" if way_out else what)

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        # Exceptions cross process borders (Ray, multiprocessing); keep both parts.
        return (type(self), (self.what, self.way_out))


class ConfigError(HeadraceError):
    """A configuration file or option is wrong."""


class SourceError(HeadraceError):
    """A source may not be used as it is declared."""


class InputError(HeadraceError):
    """Data that was asked for is missing or damaged."""


class LakeError(HeadraceError):
    """The lake refused an operation."""


class SliceConflict(LakeError):
    """Another writer committed the same slice first; the message names it."""


class StorageError(LakeError):
    """The storage below the lake failed (full disk, unreachable object store)."""


class StageError(HeadraceError):
    """A stage broke its contract."""


class ExpectationError(StageError):
    """A table does not meet what is expected of it."""


class GateError(HeadraceError):
    """A gate refused or has no valid decision."""


class DropRateError(HeadraceError):
    """A filter took nearly everything of a source; nothing that comes after it should run."""


class ServiceError(HeadraceError):
    """A local service did not come up."""
