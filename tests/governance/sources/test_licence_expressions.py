"""Licence expressions: duties, classes, chosen alternatives, and spellings equal to those of `license-expression`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_expression import get_spdx_licensing

from headrace_governance.sources.licences import CLASSES, DUTIES, LicencePolicy, Terms, accepts, implied, terms_of
from headrace_governance.sources.licences.rules import index
from headrace_lake.errors import ConfigError

# Duties → expressions, as people write them.
ASKS = {
    "nothing": """
        CC0-1.0; cc0-1.0; PDDL-1.0; CC-PDDC; CC-PDM-1.0; Unlicense; WTFPL; 0BSD; MIT-0; blessing; DL-DE-ZERO-2.0; NIST-PD;
        LicenseRef-scancode-public-domain; LicenseRef-scancode-us-govt-public-domain; CC0-1.0 OR MIT
    """,
    "attribution": """
        CC-BY-1.0; CC-BY-2.0; CC-BY-2.5; CC-BY-2.5-AU; CC-BY-3.0; CC-BY-3.0-AT; CC-BY-3.0-DE; CC-BY-3.0-IGO; CC-BY-3.0-US;
        CC-BY-4.0; cc-by-4.0; Cc-By-4.0; LicenseRef-scancode-cc-by-2.0-uk; MIT; mit; Apache-2.0; Apache-1.1; BSD-2-Clause;
        BSD-3-Clause; ISC; Zlib; PSF-2.0; Python-2.0; BSL-1.0; X11; curl; CDLA-Permissive-1.0; CDLA-Permissive-2.0; ODC-By-1.0;
        OGL-UK-1.0; OGL-UK-2.0; OGL-UK-3.0; OGL-Canada-2.0; etalab-2.0; NLOD-1.0; NLOD-2.0; DL-DE-BY-2.0; MIT AND CC-BY-4.0; MIT
        AND CC0-1.0; mit and apache-2.0; MIT OR Foo-1.0; (MIT OR GPL-3.0-only) AND CC-BY-4.0; MIT OR (GPL-2.0-only AND
        CC-BY-NC-4.0); MIT or Apache-2.0; Apache-2.0 WITH LLVM-exception
    """,
    "attribution share-alike": """
        CC-BY-SA-1.0; CC-BY-SA-2.0; CC-BY-SA-2.0-UK; CC-BY-SA-2.1-JP; CC-BY-SA-2.5; CC-BY-SA-3.0; CC-BY-SA-3.0-AT;
        CC-BY-SA-3.0-IGO; CC-BY-SA-4.0; CC-SA-1.0; ODbL-1.0; CDLA-Sharing-1.0; LAL-1.3; GPL-2.0-or-later OR CC-BY-SA-3.0;
        CC-BY-NC-4.0 AND MIT OR CC-BY-SA-4.0
    """,
    "attribution non-commercial": """
        CC-BY-NC-1.0; CC-BY-NC-2.0; CC-BY-NC-2.5; CC-BY-NC-3.0; CC-BY-NC-3.0-DE; CC-BY-NC-4.0; LicenseRef-scancode-cc-nc-1.0;
        NCGL-UK-2.0; LicenseRef-scancode-dl-de-by-nc-1-0-en; PolyForm-Noncommercial-1.0.0; CC-BY-4.0 AND CC-BY-NC-4.0;
        CC-BY-NC-ND-4.0 OR CC-BY-NC-4.0; (CC-BY-NC-4.0 OR CC-BY-ND-4.0) AND MIT; MIT WITH LicenseRef-scancode-commons-clause
    """,
    "attribution no-derivatives": """
        CC-BY-ND-1.0; CC-BY-ND-3.0-DE; CC-BY-ND-4.0; LicenseRef-scancode-cc-nd-1.0
    """,
    "attribution share-alike non-commercial": """
        CC-BY-NC-SA-1.0; CC-BY-NC-SA-2.0-FR; CC-BY-NC-SA-3.0-IGO; CC-BY-NC-SA-4.0
    """,
    "attribution non-commercial no-derivatives": """
        CC-BY-NC-ND-1.0; CC-BY-NC-ND-3.0-IGO; CC-BY-NC-ND-4.0; CC-BY-ND-4.0 AND CC-BY-NC-4.0
    """,
    "attribution restricted": """
        LicenseRef-scancode-cc-sampling-1.0
    """,
    "attribution non-commercial restricted": """
        LicenseRef-scancode-cc-nc-sampling-plus-1.0
    """,
    "attribution copyleft": """
        Artistic-2.0; GPL-2.0-only; GPL-2.0-or-later; GPL-3.0-only; GPL-3.0-or-later; GPL-2.0; GPL-2.0+; gpl-3.0+;
        LGPL-2.0-or-later; LGPL-2.1; LGPL-2.1+; LGPL-3.0-only; AGPL-3.0; AGPL-3.0-or-later; GFDL-1.1-only; GFDL-1.2+;
        GFDL-1.3-or-later; GFDL-1.3-no-invariants-only; MPL-1.1; MPL-2.0; MPL-2.0-no-copyleft-exception; EPL-2.0; EUPL-1.2;
        OFL-1.1; CDDL-1.0; GPL-2.0-with-classpath-exception; GPL-3.0-with-GCC-exception; CC-BY-NC-4.0 OR GPL-3.0-only;
        GPL-2.0-or-later WITH Classpath-exception-2.0; GPL-3.0-only WITH GCC-exception-3.1
    """,
    "restricted": """
        BUSL-1.1; SSPL-1.0; Elastic-2.0; Hippocratic-2.1; C-UDA-1.0; CPOL-1.02; LicenseRef-scancode-llama-2-license-2023;
        LicenseRef-scancode-bigscience-rail-1.0; LicenseRef-scancode-proprietary-license
    """,
    "unknown": """
        CC-BY-5.0; CC-BY-NC; Foo-1.0; LicenseRef-ours; DocumentRef-x:LicenseRef-y; NOASSERTION; any-OSI;
        Classpath-exception-2.0; LicenseRef-CC-BYNC
    """,
    "attribution share-alike copyleft": """
        GPL-3.0-only AND CC-BY-SA-4.0
    """,
    "attribution unknown": """
        MIT AND Foo-1.0; MIT WITH Foo-exception; MIT WITH Apache-2.0
    """,
}
OURS_ASK = {
    "nothing": """
        Public-Domain; public-domain
    """,
    "restricted": """
        NONE; LicenseRef-All-Rights-Reserved; LicenseRef-arXiv-nonexclusive-distrib
    """,
    "attribution": """
        LicenseRef-CC-BY; LicenseRef-CC-BY-2.1-JP
    """,
    "attribution non-commercial": """
        LicenseRef-CC-BY-NC; cc-by-nc-4.0+
    """,
    "attribution non-commercial no-derivatives": """
        LicenseRef-CC-BY-NC-ND-2.1-ES
    """,
    "attribution share-alike": """
        CC-BY-SA-3.0+
    """,
    "attribution copyleft": """
        GPL-2.0-with-bison-exception
    """,
}


def table(asks: dict[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for duties, listed in asks.items():
        for expression in listed.split(";"):
            found[" ".join(expression.split())] = () if duties == "nothing" else tuple(duties.split())
    return found


TABLE, OURS = table(ASKS), table(OURS_ASK)


@pytest.mark.parametrize(("expression", "duties"), [*TABLE.items(), *OURS.items()])
def test_an_expression_asks_for_its_duties(expression: str, duties: tuple[str, ...]) -> None:
    terms = terms_of(expression)
    assert terms.duties == tuple(d for d in DUTIES if d in duties)
    assert terms.cls == (max(duties, key=CLASSES.index) if duties else "public")  # type: ignore[type-var]


def test_more_than_a_hundred_expressions_are_spelt_as_the_library_spells_them() -> None:
    licensing = get_spdx_licensing()
    assert len(TABLE) >= 150
    for expression in TABLE:
        parsed = licensing.parse(expression)
        assert terms_of(expression).expression == str(parsed), expression
        unknown = set(licensing.unknown_license_keys(parsed))
        if "unknown" not in terms_of(expression).duties and " OR " not in expression.upper():
            assert not unknown, expression
        assert set(terms_of(expression).unknown) <= unknown | {"Classpath-exception-2.0", "Apache-2.0"} | {"NOASSERTION"}, expression


def test_every_id_of_the_index_has_duties_and_no_category_is_missing() -> None:
    for known in index().values():
        duties = terms_of(known.id).duties
        assert known.is_exception or known.category in ("", "Unstated License") or "unknown" not in duties, known
        nc = "-nc-" in f"{known.id.lower()}-" and known.id.lower().removeprefix("licenseref-scancode-").startswith("cc-")
        assert not nc or "non-commercial" in duties, known


@pytest.mark.parametrize(
    ("expression", "choice"),
    [
        ("GPL-2.0-or-later OR CC-BY-SA-3.0", "CC-BY-SA-3.0"),
        ("CC-BY-SA-3.0 OR GPL-2.0-or-later", "CC-BY-SA-3.0"),
        ("MIT OR Apache-2.0", "Apache-2.0"),
        ("Apache-2.0 OR MIT", "Apache-2.0"),
        ("(MIT OR GPL-3.0) AND CC-BY-4.0", "MIT AND CC-BY-4.0"),
        ("CC-BY-NC-4.0 OR (CC-BY-4.0 AND GPL-3.0-only)", "CC-BY-4.0 AND GPL-3.0-only"),
        ("MIT AND CC-BY-4.0", ""),
        ("MIT", ""),
    ],
)
def test_an_or_records_its_choice_whatever_the_order(expression: str, choice: str) -> None:
    assert terms_of(expression).choice == choice


def test_an_or_takes_what_the_policy_admits() -> None:
    no_copyleft = LicencePolicy.model_validate({"fetchable": ["own", "public", "attribution", "restricted"]})
    assert no_copyleft.terms("GPL-3.0-only OR BUSL-1.1").choice == "BUSL-1.1"
    everything = LicencePolicy.model_validate({"fetchable": list(CLASSES)})
    assert everything.terms("GPL-3.0-only OR BUSL-1.1").choice == "GPL-3.0-only"


def test_a_class_stands_for_its_duties_and_a_licence_needs_all_of_its_own_accepted() -> None:
    assert accepts(("public", "share-alike"), terms_of("CC-BY-SA-4.0"))
    assert not accepts(("public", "share-alike"), terms_of("CC-BY-4.0"))  # its class is not listed
    assert not accepts(("attribution", "non-commercial"), terms_of("CC-BY-NC-SA-4.0"))
    assert accepts(("share-alike", "non-commercial"), terms_of("CC-BY-NC-SA-4.0"))
    assert not accepts(("attribution", "share-alike", "copyleft"), terms_of("CC-BY-NC-4.0"))
    assert all(set(implied(c)) <= set(DUTIES) for c in CLASSES)


@pytest.mark.parametrize(
    "text", ["(MIT", "MIT AND", "MIT OR OR MIT", "AND", "", "MIT, BSD", "x" * 501, "(" * 400, "MIT WITH", "\x00", "🙂"]
)
def test_what_is_no_expression_is_an_error_with_a_way_out(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        terms_of(text)
    assert "SPDX ids joined by AND" in caught.value.way_out and "\n" not in str(caught.value)


ids = st.sampled_from(["MIT", "CC0-1.0", "CC-BY-SA-4.0", "GPL-3.0-only", "CC-BY-NC-4.0", "CC-BY-ND-4.0", "BUSL-1.1", "Foo-1.0"])


@given(ids, ids)
def test_and_never_loosens_and_or_never_tightens(a: str, b: str) -> None:
    one, other = terms_of(a), terms_of(b)
    both: Terms = terms_of(f"{a} AND {b}")
    assert set(both.duties) == set(one.duties) | set(other.duties) and both.rank >= max(one.rank, other.rank)
    assert terms_of(f"{a} OR {b}").rank == min(one.rank, other.rank) == terms_of(f"{b} OR {a}").rank
