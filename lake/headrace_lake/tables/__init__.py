"""Every table of the lake: its Arrow schema with units, declared by the component that writes it and checked at every write.

A field's metadata holds `unit` (bytes, characters, tokens, nats, seconds ...) and `doc`. All tables of slices
carry `source`, `slice` (the partition) and `part`, the ordinal of the shard within its slice: row group `part` of
a verdict table belongs to row group `part` of the documents, so a join never shuffles.

Tables become known in three ways: the lake's own (`lake.py`); those of installed components, each named by an entry point of the group
`headrace.tables` as `module:list` (pyproject.toml); those that a stage declares in its class (`Stage.tables`), when a pipeline is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import RLock

from headrace_lake.errors import ConfigError
from headrace_lake.tables.fields import TableSpec
from headrace_lake.tables.lake import LAKE_TABLES

__all__ = ["ENTRY_POINTS", "TABLES", "TableSpec", "Tables", "table_spec"]

ENTRY_POINTS = "headrace.tables"


class Tables(Mapping[str, TableSpec]):
    """The tables that are known, by name; components are asked for theirs at the first look."""

    def __init__(self, *own: TableSpec) -> None:
        self._known: dict[str, TableSpec] = {spec.name: spec for spec in own}
        self._asked = self._ready = False
        self._lock = RLock()

    def register(self, *specs: TableSpec) -> None:
        """Make tables known; the same declaration may come again.

        Raises:
            ConfigError: a table of that name is declared otherwise.
        """
        for spec in specs:
            there = self._all().get(spec.name)
            if there is not None and there.shape != spec.shape:
                raise ConfigError(f"table '{spec.name}' is declared twice, with different columns", "give one of them another name")
            self._known[spec.name] = spec

    def _all(self) -> dict[str, TableSpec]:
        if self._ready:
            return self._known
        with self._lock:  # other threads wait until all are known
            if not self._asked:
                self._asked = True  # before they are loaded: a component's own modules may look here
                try:
                    self._ask()
                except BaseException:
                    self._asked = False
                    raise
                self._ready = True
        return self._known

    def _ask(self) -> None:
        from importlib.metadata import entry_points

        for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda p: p.name):
            try:
                self.register(*point.load())
            except (ImportError, AttributeError) as exc:
                raise ConfigError(
                    f"tables of component '{point.name}' ({point.value}) cannot be loaded: {exc}", "install it again"
                ) from exc

    def __getitem__(self, name: str) -> TableSpec:
        return self._known[name] if name in self._known else self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


TABLES = Tables(*LAKE_TABLES)


def table_spec(name: str) -> TableSpec:
    """The declaration of a table.

    Raises:
        ConfigError: no such table; the message names the nearest one.
    """
    if name in TABLES:
        return TABLES[name]
    from headrace_lake.nearest import did_you_mean

    raise ConfigError(f"no table '{name}'", did_you_mean(name, TABLES, of="tables"))
