"""Ledger of remote jobs in the lake's catalog: who asked for a job, may it start, was it stopped, what has it committed.

Three small SQL tables beside Iceberg's own, in the same database, because then "this job was stopped" and "this commit is visible" have
one order: each commit of a job updates the job's row in the same transaction, and finds it stopped or not. No clock decides anything.

States of a job: *asked* (its task is submitting it; the remote command waits) → *confirmed* (the task has handed it over to the triggerer:
the command may work and commit) → *ended*. From *asked* and *confirmed* → *stopped*; from *asked* → *expired*, where nobody confirmed it.
Only a confirmed job starts its command or commits. An id that has left *asked* and *confirmed* is never used again.

A job has as many owners as tasks follow it. It is stopped when its last owner has let go of it, or when a person says so.

What it costs: one row update in a commit, and a third of a second of imports in processes that know no SQLAlchemy yet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    create_engine,
    delete,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from headrace_lake.catalog_address import catalog_address
from headrace_lake.errors import LakeError, StorageError
from headrace_lake.jobs.owner import Owner
from headrace_lake.settings import Settings

JOB_ENV = "HEADRACE_JOB"
"""Environment variable with the submission id of the remote job that a process belongs to; its Ray tasks inherit it."""

State = Literal["asked", "confirmed", "ended", "stopped", "expired"]
OPEN: tuple[State, ...] = ("asked", "confirmed")
_POLL_S = 0.2

_metadata = MetaData()
_jobs = Table(
    "headrace_jobs",
    _metadata,
    Column("submission_id", String(80), primary_key=True),
    Column("state", String(12), nullable=False, index=True),
    Column("reason", String(400), nullable=False, default=""),
    Column("by_hand", Integer, nullable=False, default=0),
    Column("commits", Integer, nullable=False, default=0),
    Column("touched", Integer, nullable=False, default=0),
    Column("asked_at", Float, nullable=False),
)
_owners = Table(
    "headrace_job_owners",
    _metadata,
    Column("submission_id", String(80), primary_key=True),
    Column("dag_id", String(250), primary_key=True),
    Column("run_id", String(250), primary_key=True),
    Column("task_id", String(250), primary_key=True),
    Column("map_index", Integer, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("user", String(250), nullable=False, default=""),
)
_commits = Table(
    "headrace_job_commits",
    _metadata,
    Column("submission_id", String(80), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("slice", String(4000), nullable=False),
    Column("stage", String(4000), nullable=False),
)


class JobStopped(LakeError):
    """The job that this process belongs to was stopped: it commits nothing any more."""


@dataclass(frozen=True)
class Entry:
    """A job as the ledger knows it.

    Attributes:
        reason: why it was stopped.
        by_hand: a person stopped it, so the task is not to try again.
        commits: how many commits it has made.
        asked_at: Unix seconds, for people.
    """

    submission_id: str
    state: State
    reason: str
    by_hand: bool
    commits: int
    asked_at: float


class JobLedger:
    """The ledger of one lake.

    Args:
        address: SQLAlchemy address of the lake's catalog.
    """

    def __init__(self, address: str) -> None:
        # No pool: processes that use it fork, and signal handlers must not wait for a connection that they have interrupted.
        self._engine: Engine = create_engine(address, poolclass=NullPool)
        self._file = Path(self._engine.url.database or "") if self._engine.dialect.name == "sqlite" else None
        self._ready = False

    @classmethod
    def of(cls, settings: Settings) -> JobLedger:
        """The ledger of the lake that a settings file names."""
        return cls(catalog_address(settings))

    def __str__(self) -> str:
        return self._engine.url.render_as_string(hide_password=True)

    # -- the owner's side --------------------------------------------------------------------------------------------

    def ask(self, submission_id: str, owner: Owner) -> State:
        """Note the wish for a job before it is submitted; returns the state of that id, *asked* if it may be submitted.

        A caller that finds another state has no hold on the job yet: see `join`.
        """
        with self._writing() as connection:
            row = {"submission_id": submission_id, "state": "asked", "asked_at": time.time(), "reason": "", "by_hand": 0}
            connection.execute(self._insert(_jobs, row | {"commits": 0, "touched": 0}))
            state = self._locked(connection, submission_id)
            if state == "asked":
                self._hold(connection, submission_id, owner)
            return cast(State, state)

    def join(self, submission_id: str, owner: Owner) -> State | None:
        """Become an owner of a job that is there; returns its state, None for a job that the ledger does not know."""
        with self._writing() as connection:
            state = self._locked(connection, submission_id)
            if state in OPEN:
                self._hold(connection, submission_id, owner)
            return state

    def confirm(self, submission_id: str) -> State | None:
        """Let the job's command start: its task waits for it now, and whoever ends the task will stop the job."""
        with self._writing() as connection:
            connection.execute(_set(submission_id, "confirmed", "asked"))
            return self._locked(connection, submission_id)

    def release(self, submission_id: str, owner: Owner, reason: str) -> bool:
        """Let go of a job: this try of the task and earlier ones. Returns whether the job is stopped, nobody else being there."""
        with self._writing() as connection:
            if self._locked(connection, submission_id) not in OPEN:
                return self._state(connection, submission_id) == "stopped"
            mine = and_(_same_task(submission_id, owner), (_owners.c.generation < owner.generation) | _until(owner))
            connection.execute(delete(_owners).where(mine))
            return self._stop_if_alone(connection, submission_id, reason)

    def release_older(self, submission_id: str, owner: Owner, reason: str) -> bool:
        """Let go of a job on behalf of this task before it was cleared; returns whether the job is stopped."""
        with self._writing() as connection:
            if self._locked(connection, submission_id) not in OPEN:
                return self._state(connection, submission_id) == "stopped"
            connection.execute(delete(_owners).where(_same_task(submission_id, owner), _owners.c.generation != owner.generation))
            return self._stop_if_alone(connection, submission_id, reason)

    def stop(self, submission_id: str, reason: str, *, by_hand: bool = False) -> State | None:
        """Record that a job is stopped, whoever follows it; returns its state. From here on it commits nothing."""
        with self._writing() as connection:
            connection.execute(_set(submission_id, "stopped", *OPEN, reason=reason[:400], by_hand=int(by_hand)))
            return self._locked(connection, submission_id)

    def ended(self, submission_id: str) -> None:
        """Record that the job has ended by itself, as its launcher says."""
        with self._writing() as connection:
            connection.execute(_set(submission_id, "ended", *OPEN))

    # -- the job's side ----------------------------------------------------------------------------------------------

    def await_confirmation(self, submission_id: str, within_s: float) -> Entry | None:
        """Wait until the job is confirmed, stopped or, after `within_s`, expired; None if the ledger does not know it."""
        deadline = time.monotonic() + within_s
        while True:
            entry = self.entry(submission_id)
            if entry is None or entry.state != "asked":
                return entry
            if time.monotonic() > deadline:
                with self._writing() as connection:
                    connection.execute(_set(submission_id, "expired", "asked"))
            time.sleep(_POLL_S)

    # -- for people and janitors ---------------------------------------------------------------------------------------

    def entry(self, submission_id: str) -> Entry | None:
        """One job."""
        return next(iter(self.entries(_jobs.c.submission_id == submission_id)), None)

    def open_jobs(self) -> list[str]:
        """Ids of the jobs that may be at work."""
        return [entry.submission_id for entry in self.entries(_jobs.c.state.in_(OPEN))]

    def entries(self, where: Any = True) -> list[Entry]:
        """Jobs, in the order in which they were asked for."""
        wanted = select(_jobs).where(where).order_by(_jobs.c.asked_at)
        return [
            Entry(r.submission_id, r.state, r.reason, bool(r.by_hand), r.commits, r.asked_at)
            for r in self._rows(lambda c: c.execute(wanted))
        ]

    def owners(self, submission_id: str) -> list[Owner]:
        """Tasks that follow a job."""
        wanted = select(_owners).where(_owners.c.submission_id == submission_id)
        rows = self._rows(lambda c: c.execute(wanted))
        return [Owner(r.dag_id, r.run_id, r.task_id, r.map_index, r.generation, r.user, r.attempt) for r in rows]

    def committed(self, submission_id: str) -> list[tuple[str, str]]:
        """What a job has made visible, in order: (slices, stages) of each commit."""
        wanted = select(_commits).where(_commits.c.submission_id == submission_id).order_by(_commits.c.number)
        return [(r.slice, r.stage) for r in self._rows(lambda c: c.execute(wanted))]

    # -- within -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction; every one of them begins by changing a row, which takes SQLite's lock."""
        with self._explained():
            if not self._ready:
                if self._file is not None:
                    self._file.parent.mkdir(parents=True, exist_ok=True)
                _create(self._engine)
                self._ready = True
            with self._engine.begin() as connection:
                yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as exc:
            problem = " ".join(str(getattr(exc, "orig", None) or exc).split())[:300]
            raise StorageError(f"catalog of the lake ({self}): {problem}", "check that it runs, is reachable and lets you in") from exc

    def _rows(self, read: Callable[[Connection], Any]) -> list[Any]:
        """Rows of a query; none, and nothing is created, where there is no ledger."""
        if self._file is not None and not self._file.exists():
            return []
        with self._explained(), self._engine.connect() as connection:
            if not self._ready and not inspect(connection).has_table(_jobs.name):
                return []
            self._ready = True
            return list(read(connection))

    def _insert(self, table: Table, row: Mapping[str, Any]) -> Any:
        dialect = sqlite if self._file is not None else postgresql
        return dialect.insert(table).values(**row).on_conflict_do_nothing()

    def _hold(self, connection: Connection, submission_id: str, owner: Owner) -> None:
        connection.execute(self._insert(_owners, {"submission_id": submission_id, **asdict(owner)}))

    def _locked(self, connection: Connection, submission_id: str) -> State | None:
        """The state of a job whose row nobody else can change before this transaction ends."""
        connection.execute(update(_jobs).where(_jobs.c.submission_id == submission_id).values(touched=_jobs.c.touched + 1))
        return self._state(connection, submission_id)

    def _state(self, connection: Connection, submission_id: str) -> State | None:
        return cast("State | None", connection.scalar(select(_jobs.c.state).where(_jobs.c.submission_id == submission_id)))

    def _stop_if_alone(self, connection: Connection, submission_id: str, reason: str) -> bool:
        if connection.execute(select(_owners.c.dag_id).where(_owners.c.submission_id == submission_id).limit(1)).first() is not None:
            return False
        connection.execute(_set(submission_id, "stopped", *OPEN, reason=reason[:400]))
        return True


class CommitGuard:
    """Refuses the commits of a job that is not, or no more, confirmed; part of every commit's own transaction.

    Args:
        submission_id: the job that this process belongs to; '' for a command that somebody runs by hand.
    """

    def __init__(self, submission_id: str) -> None:
        self._job = submission_id
        self._known: bool | None = None

    @classmethod
    def of_environment(cls) -> CommitGuard:
        """The guard of the process's own job."""
        return cls(os.environ.get(JOB_ENV, ""))

    def admit(self, connection: Connection, summaries: Iterable[Mapping[str, str]]) -> None:
        """Count a commit on the job's row, which must say *confirmed*; call it within the commit's transaction.

        A catalog that never heard of the job is another one than the operator's (`--settings` in the command): it is let through.

        Raises:
            JobStopped: the job was stopped before this commit.
        """
        if not self._in(connection):
            return
        mine = _jobs.c.submission_id == self._job
        counted = connection.execute(update(_jobs).where(mine, _jobs.c.state == "confirmed").values(commits=_jobs.c.commits + 1))
        if counted.rowcount != 1:
            self.check(connection)
            return
        number = connection.scalar(select(_jobs.c.commits).where(mine))
        connection.execute(_commits.insert().values(submission_id=self._job, number=number, **_told(summaries)))

    def check(self, connection: Connection) -> None:
        """Look at the job's state without counting a commit.

        Raises:
            JobStopped: the job is known and not confirmed.
        """
        if not self._in(connection):
            return
        row = connection.execute(select(_jobs.c.state, _jobs.c.reason).where(_jobs.c.submission_id == self._job)).first()
        if row is not None and row.state != "confirmed":
            raise JobStopped(
                f"job {self._job} is {row.state}{f' ({row.reason})' if row.reason else ''}: this commit was refused",
                "what it had committed before stays; run the task again to go on from there",
            )

    def _in(self, connection: Connection) -> bool:
        if self._job and self._known is None:
            self._known = inspect(connection).has_table(_jobs.name)
        return bool(self._job and self._known)


def _told(summaries: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Slices and stages of a commit, from the summaries of its snapshots."""
    slices: dict[str, None] = {}
    stages: dict[str, None] = {}
    for summary in summaries:
        slices |= dict.fromkeys(filter(None, summary.get("headrace.slice", "").split(",")))
        stages |= dict.fromkeys(filter(None, summary.get("headrace.stage", "").split(",")))
        if artifact := summary.get("headrace.artifact"):
            stages[f"artifact {artifact[:12]}"] = None
    return {"slice": ",".join(slices)[:4000], "stage": ",".join(stages)[:4000]}


def _create(engine: Engine) -> None:
    """Create the tables; of several processes that try at once, one does and the others find them."""
    for last in (False, False, True):
        try:
            _metadata.create_all(engine)
            return
        except (IntegrityError, OperationalError, ProgrammingError):
            if last:
                raise
            time.sleep(_POLL_S)


def _set(submission_id: str, state: State, *before: State, **values: Any) -> Any:
    return update(_jobs).where(_jobs.c.submission_id == submission_id, _jobs.c.state.in_(before)).values(state=state, **values)


def _same_task(submission_id: str, owner: Owner) -> Any:
    return and_(
        _owners.c.submission_id == submission_id,
        _owners.c.dag_id == owner.dag_id,
        _owners.c.run_id == owner.run_id,
        _owners.c.task_id == owner.task_id,
        _owners.c.map_index == owner.map_index,
    )


def _until(owner: Owner) -> Any:
    return and_(_owners.c.generation == owner.generation, _owners.c.attempt <= owner.attempt)
