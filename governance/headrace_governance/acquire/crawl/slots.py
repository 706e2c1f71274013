"""Request slots of hosts: one crawl delay for a host, whatever crawl asks, in this process, another one or on another machine.

A row for every host lies in the database of the lake's catalog (SQLite or Postgres), beside Iceberg's own tables. Before a request its
slot is taken in one statement, which succeeds only if nobody else's is running and the delay has passed; it lasts for as long as the
request may take. After the request it is cut to the delay, counted from the last byte. So nothing need be released: the slot of a
process that was killed runs out by itself, which costs the others the time of one request at most. Every doubt (a lapsed slot, a locked
or unreachable database, a clock that was set back) makes crawls slower, never faster.

Times are the database's: on Postgres the server's clock, on SQLite that of the one machine. Cost: a read and two writes a request, and
one more of somebody who has to wait; none of them where neither source nor robots.txt asks for a delay. Those crawls only look once a
second whether the host asked for a rest (`Retry-After`), which holds for everybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from headrace_lake.errors import LakeError

T = TypeVar("T")
MAX_SLOT = 900.0
"""Seconds that a slot may last, delay included. A later time in the table was written before the clock was set back, and is ignored."""
_YIELD, _YIELD_LEAST = 0.25, 0.05
"""Share of the delay, and seconds at least, that the last holder waits longer where others wait too, so that they take turns."""
_PATIENCE, _SETTLE_PATIENCE = 300.0, 10.0
"""Seconds for which an unreachable catalog is asked again: before a request, after one."""
_TICK = 0.002
"""Seconds: SQLite's clock shows whole milliseconds."""
_LOOK = 0.1
"""Seconds, at least, between two looks at a slot that is taken."""
_REST_LOOK = 1.0
"""Seconds between two looks at a host's rest where no delay is asked for."""
_HOSTS = sa.Table(
    "crawl_hosts",
    sa.MetaData(),
    sa.Column("host", sa.String(512), primary_key=True),
    sa.Column("free_at", sa.Float(53), nullable=False),
    sa.Column("last_at", sa.Float(53), nullable=False),
    sa.Column("resume_at", sa.Float(53), nullable=False),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("wanted", sa.String(64), nullable=False),
)
_NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
}
"""Seconds since the epoch by the database, taken when the row is locked."""


@dataclass(frozen=True)
class Seen:
    """A host's row, in seconds from now: until its slot is free, since its last request, until its rest is over.

    `holder` had the slot last, `wanted` is one of those that wait for it.
    """

    free_in: float
    since: float
    rest: float
    holder: str
    wanted: str

    def wait(self, delay: float) -> float:
        """Seconds until a crawl with this delay may ask."""
        free = self.free_in if self.free_in <= MAX_SLOT else delay
        return max(free, min(delay, delay - self.since), self.rest if self.rest <= MAX_SLOT else 0.0)


class SlotStore:
    """The table, call by call.

    Args:
        engine: of the lake's catalog; without one, the slots are those of this process.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        self._alone: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if engine is None:
            engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
            self._alone = threading.Lock()
        self._engine = engine
        self._now: sa.ColumnElement[float] = sa.literal_column(_NOW[engine.dialect.name], sa.Float(53))
        self._there = False

    def look(self, host: str) -> Seen | None:
        """The row of a host, if anybody asked it before."""
        c = _HOSTS.c
        asked = sa.select(c.free_at - self._now, self._now - c.last_at, c.resume_at - self._now, c.holder, c.wanted).where(c.host == host)
        with self._begin() as connection:
            row = connection.execute(asked).one_or_none()
        return None if row is None else Seen(float(row[0]), float(row[1]), float(row[2]), str(row[3]), str(row[4]))

    def claim(self, host: str, holder: str, delay: float, seconds: float) -> bool:
        """Take the slot for so many seconds, if it is free and the delay has passed since the last request."""
        c, now = _HOSTS.c, self._now
        taken = {"free_at": now + min(seconds, MAX_SLOT), "last_at": now, "holder": holder, "wanted": ""}
        free = (
            sa.or_(c.free_at <= now, c.free_at > now + MAX_SLOT),
            sa.or_(c.last_at <= now - delay, c.last_at > now + MAX_SLOT),
            sa.or_(c.resume_at <= now, c.resume_at > now + MAX_SLOT),
        )
        new = self._insert().values(host=host, resume_at=0.0, **taken)
        with self._begin() as connection:
            done = connection.execute(new.on_conflict_do_update(index_elements=[c.host], set_=taken, where=sa.and_(*free)))
            return bool(done.rowcount == 1)

    def want(self, host: str, waiting: str) -> None:
        """Somebody waits for the slot."""
        c = _HOSTS.c
        with self._begin() as connection:
            connection.execute(sa.update(_HOSTS).where(c.host == host, c.wanted == "").values(wanted=waiting))

    def settle(self, host: str, holder: str, delay: float) -> None:
        """The request is over: the next one may begin after the delay. A slot that lapsed meanwhile and is another's is not cut."""
        c = _HOSTS.c
        end = self._now + _TICK
        then = end + min(delay, MAX_SLOT)
        free_at = sa.case((sa.and_(c.holder != holder, c.free_at > then), c.free_at), else_=then)
        with self._begin() as connection:
            connection.execute(sa.update(_HOSTS).where(c.host == host).values(last_at=end, free_at=free_at))

    def rest(self, host: str, seconds: float) -> None:
        """Nobody asks the host for so many seconds."""
        c = _HOSTS.c
        until = self._now + min(seconds, MAX_SLOT)
        later = sa.case((sa.and_(c.resume_at > until, c.resume_at <= self._now + MAX_SLOT), c.resume_at), else_=until)
        new = self._insert().values(host=host, free_at=0.0, last_at=0.0, holder="", wanted="", resume_at=until)
        with self._begin() as connection:
            connection.execute(new.on_conflict_do_update(index_elements=[c.host], set_={"resume_at": later}))

    def _insert(self) -> Any:
        if self._engine.dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        else:
            from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
        return insert(_HOSTS)

    @contextlib.contextmanager
    def _begin(self) -> Any:
        with self._alone:
            if not self._there:
                with contextlib.suppress(IntegrityError, ProgrammingError):  # another process was creating it
                    _HOSTS.metadata.create_all(self._engine)
                self._there = True
            with self._engine.begin() as connection:
                yield connection


class Slot:
    """A request that is allowed now. `delay`: pause after it, which may be raised while it runs (robots.txt says the pause)."""

    def __init__(self, delay: float) -> None:
        self.delay = delay


class HostSlots:
    """The slots of one crawl."""

    def __init__(self, store: SlotStore) -> None:
        self._store = store
        self._me = secrets.token_hex(8)
        self._locks: dict[str, asyncio.Lock] = {}
        self._looked: dict[str, float] = {}

    @asynccontextmanager
    async def slot(self, host: str, delay: float, seconds: float) -> AsyncIterator[Slot]:
        """One request to a host, which lasts so many seconds at most.

        Raises:
            LakeError: the catalog's database stayed unreachable; the request is not made.
        """
        async with self._locks.setdefault(host, asyncio.Lock()):
            await self._take(host, delay, seconds)
            slot = Slot(delay)
            try:
                yield slot
            finally:
                with contextlib.suppress(LakeError):  # the slot then ends with the time that the request might have taken
                    await self._asked(_SETTLE_PATIENCE, self._store.settle, host, self._me, slot.delay)

    async def rested(self, host: str) -> None:
        """Wait until the rest of a host is over, where no delay is asked for."""
        if time.monotonic() < self._looked.get(host, 0.0):
            return
        while (seen := await self._asked(_PATIENCE, self._store.look, host)) is not None and 0 < seen.rest <= MAX_SLOT:
            await asyncio.sleep(seen.rest)
        self._looked[host] = time.monotonic() + _REST_LOOK

    async def rest(self, host: str, seconds: float) -> None:
        """The host asked for a rest of so many seconds, from every crawl."""
        await self._asked(_PATIENCE, self._store.rest, host, seconds)
        self._looked.pop(host, None)

    async def _take(self, host: str, delay: float, seconds: float) -> None:
        most = max(delay, _LOOK)
        while True:
            seen = await self._asked(_PATIENCE, self._store.look, host)
            wait = seen.wait(delay) if seen is not None else 0.0
            if seen is not None and wait > 0:
                if seen.holder == self._me:
                    wait += max(_YIELD * delay, _YIELD_LEAST) if seen.wanted not in ("", self._me) else 0.0
                elif not seen.wanted:
                    await self._asked(_PATIENCE, self._store.want, host, self._me)
                if wait > most and seen.holder != self._me:
                    await asyncio.sleep(most)  # a request is running, which may be over long before its slot is
                    continue
                await asyncio.sleep(wait)
            if await self._asked(_PATIENCE, self._store.claim, host, self._me, delay, seconds + delay):
                return
            await asyncio.sleep(0.005)

    @staticmethod
    async def _asked(patience: float, call: Callable[..., T], *words: Any) -> T:
        """The answer of the database, asked again while it is locked or away."""
        until, pause = time.monotonic() + patience, 0.05
        while True:
            try:
                return await asyncio.to_thread(call, *words)
            except DBAPIError as exc:
                if time.monotonic() > until:
                    problem = " ".join(str(exc.orig or exc).split())[:300]
                    raise LakeError(
                        f"the catalog's database did not answer for {patience:.0f} s: {problem}",
                        "the crawl goes on where it was when it is run again",
                    ) from exc
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)
