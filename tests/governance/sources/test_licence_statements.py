"""What licence fields and elements say: addresses in every version and port, names, prose in several languages; read in linear time."""

from __future__ import annotations

import pytest
from linear import processor_seconds

from headrace_governance.sources.licences import CLASSES, LicencePolicy, read_statement
from headrace_governance.sources.licences.elements import column, column_statements, statements
from headrace_governance.sources.licences.statements import MAX_PROSE, licence_of_address, licences_in

POLICY = LicencePolicy.model_validate({"fetchable": list(CLASSES)})
CODES = {"by": "attribution", "by-sa": "share-alike", "by-nc": "non-commercial", "by-nc-sa": "non-commercial"}
NO_DERIVATIVES = {"by-nd": "no-derivatives", "by-nc-nd": "no-derivatives", "by-nd-nc": "no-derivatives"}
ENDINGS = ("", "/", "/deed.de", "/legalcode", "/uk/", "/igo/", "/de/deed.en", "/jp")


@pytest.mark.parametrize("code", [*CODES, *NO_DERIVATIVES])
def test_creative_commons_addresses_are_read_in_every_version_and_port(code: str) -> None:
    wanted = (CODES | NO_DERIVATIVES)[code]
    for version in ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0"):
        for ending in ENDINGS:
            for start in ("http://", "https://www.", ""):
                said = POLICY.said(f"{start}creativecommons.org/licenses/{code}/{version}{ending}")
                assert said.cls == wanted, (code, version, ending, said)
                assert "unknown" not in said.duties
    assert POLICY.said(f"https://creativecommons.org/licenses/{code}/").cls == wanted
    assert POLICY.said(f"https://creativecommons.org/licences/{code}").cls == wanted


@pytest.mark.parametrize(
    ("address", "licence"),
    [
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/deed.fr", "CC-PDM-1.0"),
        ("https://creativecommons.org/licenses/by/3.0/de/", "CC-BY-3.0-DE"),
        ("https://creativecommons.org/licenses/by/3.0/igo/legalcode", "CC-BY-3.0-IGO"),
        ("http://creativecommons.org/licenses/by-nc/2.0/uk/", "CC-BY-NC-2.0"),
        ("http://creativecommons.org/licenses/by-sa/2.1/jp/", "CC-BY-SA-2.1-JP"),
        ("http://creativecommons.org/licenses/by/2.1/es/", "LicenseRef-CC-BY-2.1-ES"),
        ("https://www.gnu.org/licenses/fdl-1.3.html", "GFDL-1.3-or-later"),
        ("http://www.gnu.org/copyleft/fdl.html", "GFDL-1.1-or-later"),
        ("https://www.gnu.org/licenses/agpl-3.0.en.html", "AGPL-3.0-or-later"),
        ("https://opensource.org/licenses/MIT", "MIT"),
        ("https://opensource.org/license/bsd-3-clause/", "BSD-3-Clause"),
        ("https://spdx.org/licenses/CC-BY-NC-4.0.html", "CC-BY-NC-4.0"),
        ("https://choosealicense.com/licenses/apache-2.0/", "Apache-2.0"),
        ("https://www.apache.org/licenses/LICENSE-2.0.txt", "Apache-2.0"),
        ("https://opendatacommons.org/licenses/odbl/1-0/", "ODbL-1.0"),
        ("http://opendatacommons.org/licenses/by/1.0/", "ODC-By-1.0"),
        ("https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/", "OGL-UK-3.0"),
        ("https://www.nationalarchives.gov.uk/doc/non-commercial-government-licence/version/2/", "NCGL-UK-2.0"),
        ("https://www.etalab.gouv.fr/licence-ouverte-open-licence", "etalab-2.0"),
        ("https://www.govdata.de/dl-de/by-2-0", "DL-DE-BY-2.0"),
        ("https://data.norge.no/nlod/no/2.0", "NLOD-2.0"),
        ("http://arxiv.org/licenses/nonexclusive-distrib/1.0/", "LicenseRef-arXiv-nonexclusive-distrib"),
        ("http://arxiv.org/licenses/assumed-1991-2003/", "LicenseRef-arXiv-assumed-1991-2003"),
        ("http://rightsstatements.org/vocab/InC/1.0/", "LicenseRef-All-Rights-Reserved"),
        ("http://creativecommons.org/license/by-nc/4.0", "CC-BY-NC-4.0"),
        ("https://creativecommons.org/licenses/by\u2011nc\u2013nd/4.0/", "CC-BY-NC-ND-4.0"),
        ("https://publisher.example/terms", ""),
        ("https://creativecommons.org/about/", ""),
        ("https://creativecommons.org/licenses/", ""),
        ("http://[bad", ""),
    ],
)
def test_an_address_means_a_licence(address: str, licence: str) -> None:
    assert licence_of_address(address) == licence


OPEN_ACCESS = "This is an Open Access article distributed under the terms of the Creative Commons "
SAYS = {
    "CC BY 4.0": "CC-BY-4.0",
    "CC-BY": "LicenseRef-CC-BY",
    "cc by-nc-sa 3.0 igo": "CC-BY-NC-SA-3.0",
    "CCBYNC": "LicenseRef-CC-BY-NC",
    "CC0": "CC0-1.0",
    "CC0 1.0 Universal": "CC0-1.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "GPLv3": "GPL-3.0-or-later",
    "mit": "MIT",
    "MIT, Apache-2.0": "MIT AND Apache-2.0",
    "GPL-2.0-or-later OR CC-BY-SA-3.0": "GPL-2.0-or-later OR CC-BY-SA-3.0",
    "Creative Commons Attribution-NonCommercial 4.0 International License": "CC-BY-NC-4.0",
    "Creative Commons Attribution - Share Alike 3.0 Unported": "CC-BY-SA-3.0",
    OPEN_ACCESS + "Attribution Non-Commercial License.": "LicenseRef-CC-BY-NC",
    OPEN_ACCESS + "Attribution License (http://creativecommons.org/licenses/by/2.0), which permits unrestricted use": "CC-BY-2.0",
    OPEN_ACCESS + "Attribution License (CC BY 4.0).": "CC-BY-4.0",
    OPEN_ACCESS + "Attribution‑NonCommercial‑NoDerivs licence (CC BY‑NC‑ND)": "LicenseRef-CC-BY-NC-ND",
    OPEN_ACCESS + "License by the authors": "LicenseRef-Creative-Commons",
    "under the CC BY-NC-ND license (http://creativecommons.org/licenses/by-nc-nd/4.0/).": "CC-BY-NC-ND-4.0",
    "permits unrestricted noncommercial use, provided the original is cited": "LicenseRef-Non-Commercial",
    "for commercial and non-commercial purposes, under CC BY 4.0": "CC-BY-4.0",
    "© 2011 The Publisher. All rights reserved.": "LicenseRef-All-Rights-Reserved",
    "© 2011 The Publisher. All rights reserved. CC BY 3.0": "CC-BY-3.0",
    "Alle Rechte vorbehalten": "LicenseRef-All-Rights-Reserved",
    "版权所有，未经许可不得转载": "LicenseRef-All-Rights-Reserved",
    "Licence Creative Commons Attribution - Pas d’Utilisation Commerciale 4.0 International": "CC-BY-NC-4.0",
    "Creative Commons Namensnennung - Nicht kommerziell 3.0": "CC-BY-NC-3.0",
    "Creative Commons Reconocimiento-NoComercial-SinObraDerivada 2.5": "CC-BY-NC-ND-2.5",
    "本文采用知识共享署名-非商业性使用 4.0 国际许可协议": "CC-BY-NC-4.0",
    "クリエイティブ・コモンズ 表示-非営利 4.0": "CC-BY-NC-4.0",
    "크리에이티브 커먼즈 저작자표시-비영리 4.0": "CC-BY-NC-4.0",
    "This work is in the public domain in the USA.": "Public-Domain",
}
SILENT = [
    "",
    " ",
    "Free to use.",
    "other",
    "unknown",
    "this paper is not in the public domain",
    "no rights reserved",
    "written by the authors",
    "cc. by the way",
]


@pytest.mark.parametrize(("text", "licence"), SAYS.items())
def test_a_name_or_prose_means_a_licence(text: str, licence: str) -> None:
    assert " AND ".join(read_statement(text)) == licence


@pytest.mark.parametrize("text", SILENT)
def test_words_that_name_no_licence_mean_none(text: str) -> None:
    assert read_statement(text) == ()


def test_words_never_loosen_a_licence_and_never_hide_a_stricter_one() -> None:
    assert POLICY.said("CC BY 4.0, for non-commercial use only").cls == "non-commercial"
    for only in ("non-profit purposes", "academic use only", "Commercial use is not permitted", "For commercial re-use, please contact X"):
        assert POLICY.said(f"CC BY 4.0. {only}").cls == "non-commercial", only
    assert POLICY.said("CC BY 4.0, for commercial and non-profit purposes; X is a non-profit organisation").cls == "attribution"
    assert POLICY.said("MIT, CC-BY-NC-4.0").cls == "non-commercial"
    assert POLICY.said("text CC BY 4.0, data CC0").cls == "attribution"
    assert POLICY.said("MIT AND Foo-1.0").cls == "unknown"


@pytest.mark.parametrize(
    "piece", ["creative commons ", "cc by ", "a", "https://", "creativecommons.org/", "non ", "(", "cc0", "知识共享", "1 0 ", "-"]
)
def test_hostile_prose_costs_milliseconds(piece: str) -> None:
    assert processor_seconds(lambda: licences_in(piece * (2 * MAX_PROSE // len(piece)))) < 1.0


def test_elements_of_a_record_are_reduced_to_what_they_name() -> None:
    by, nc = "https://creativecommons.org/licenses/by/4.0/", "http://creativecommons.org/licenses/by-nc/2.0/uk/"
    assert statements([by], [], ["All rights reserved"]) == (by,)
    assert statements([], ["All rights reserved"], []) == ("LicenseRef-All-Rights-Reserved",)
    assert statements(["https://publisher.example/terms"], ["Open access under CC BY 4.0"]) == ("CC-BY-4.0",)
    assert statements(["https://publisher.example/terms"], [], ["© The Authors"]) == ("https://publisher.example/terms",)
    assert statements([by, nc], [], []) == (by, nc)
    assert statements([""], [" "], ["© 2020 The Authors"]) == ()


def test_a_licence_column_may_hold_names_lists_and_objects() -> None:
    assert column_statements("mit") == ("mit",) == column_statements(b"mit")
    assert column_statements(["MIT", "GPL-3.0", "MIT"]) == ("MIT", "GPL-3.0")
    assert column_statements({"name": "x", "url": "https://creativecommons.org/licenses/by/4.0/"}) == ("x",)
    assert column_statements({"url": "https://creativecommons.org/licenses/by/4.0/"}) == ("https://creativecommons.org/licenses/by/4.0/",)
    assert column_statements({"name": "CC BY 4.0", "url": "https://creativecommons.org/licenses/by-nc/4.0/"}) == (
        "CC BY 4.0",
        "https://creativecommons.org/licenses/by-nc/4.0/",
    )
    for nothing in (None, "", "  ", [], [None], {}, {"other": 1}):
        assert column_statements(nothing) == ()
    assert column_statements(7) == ("7",)
    assert column({"metadata": {"license": "MIT"}}, "metadata.license") == "MIT"
    assert column({"metadata.license": "MIT", "metadata": {}}, "metadata.license") == "MIT"
    assert column({"metadata": "text"}, "metadata.license") is None
