"""Licences of a mix: the class of every document is derived again from the licence that its passport records.

The stored class is not trusted: a row that calls CC-BY-NC-4.0 `attribution` ends the compilation, with its source and document named.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace_governance.sources.licences.policy import LicencePolicy, load_licence_policy
from headrace_governance.sources.licences.rules import LicenceClass
from headrace_governance.sources.licences.terms import Terms, accepts
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake


def policy_of(lake: Lake) -> LicencePolicy:
    """The licence policy of the lake's settings."""
    return load_licence_policy(lake.settings.resolve(lake.settings.policies))


def derived(passports: pa.Table, policy: LicencePolicy) -> pa.Table:
    """Passports whose column `licence_class` is what each licence really is.

    Raises:
        InputError: a passport's class is not its licence's.
    """
    classes: dict[str, LicenceClass] = {}
    pairs = passports.group_by(["licence", "licence_class"], use_threads=False).aggregate([]).to_pylist()
    for pair in sorted(pairs, key=lambda p: (str(p["licence"]), str(p["licence_class"]))):
        terms = policy.recorded(str(pair["licence"] or ""))
        classes[pair["licence"]] = terms.cls
        if not _agrees(str(pair["licence_class"]), terms):
            which = pc.and_(pc.equal(passports["licence"], pair["licence"]), pc.equal(passports["licence_class"], pair["licence_class"]))
            found = passports.filter(which)
            row = found.slice(0, 1).to_pylist()[0]
            where = f"{row['source']}/{row['slice']}"
            raise InputError(
                f"{found.num_rows} documents of {', '.join(sorted(set(found['source'].to_pylist())))} are recorded as "
                f"'{pair['licence_class']}' under {pair['licence']}, which is '{terms.cls}'; the first is {row['uid']} of {where}",
                f"correct the source's licence, then 'headrace crawl {where} --refresh' and 'headrace slice run text {where}'",
            )
    codes = pc.index_in(passports["licence"], value_set=pa.array(list(classes), pa.string()))
    column = pc.take(pa.array(list(classes.values()), pa.string()), codes)
    return passports.set_column(passports.schema.get_field_index("licence_class"), "licence_class", column)


def _agrees(recorded: str, terms: Terms) -> bool:
    """`restricted` was once the word for all that no mix may hold."""
    return recorded == terms.cls or (recorded == "restricted" and terms.cls in ("non-commercial", "no-derivatives", "unknown"))


def allowed_mask(passports: pa.Table, classes: tuple[LicenceClass, ...], policy: LicencePolicy) -> pa.ChunkedArray:
    """Which documents may enter (bool): the class is listed, and the listed classes stand for every duty of the licence."""
    licences = pc.unique(passports["licence"]).to_pylist()
    return pc.is_in(passports["licence"], pa.array([x for x in licences if accepts(classes, policy.recorded(x))], pa.string()))


def described(rows: list[dict[str, Any]], policy: LicencePolicy) -> list[dict[str, Any]]:
    """Rows of a mix's record with the duties of their licence, and the alternative taken where it is an OR."""
    out = []
    for row in rows:
        terms = policy.recorded(row["licence"])
        out.append({**row, "duties": list(terms.duties), "choice": terms.choice})
    return out


def refused_rows(refused: pa.Table) -> list[dict[str, Any]]:
    """What was kept out: documents by source and licence."""
    grouped = refused.group_by(["source", "licence", "licence_class"], use_threads=False).aggregate([("uid", "count")])
    named = grouped.rename_columns({"uid_count": "documents"})
    return [dict(r) for r in named.sort_by([("source", "ascending"), ("licence", "ascending")]).to_pylist()]
