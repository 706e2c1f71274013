"""PII: what has the form of personal data and is none, with what is one beside it, by kind of mistake.

Inputs of public bug reports, and variants of the same kinds. Sentences are ours; nobody in them exists.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
import time
from pathlib import Path

import pyarrow as pa
import pytest

from headrace_governance.text.pii.detect import KINDS, candidates, find
from headrace_governance.text.pii.networks import top_level_domains
from headrace_governance.text.pii.stage import Pii

VERDICTS = Path(__file__).parent / "pii_verdicts.tsv.gz"

Found = list[tuple[str, str]]


def found(text: str, language: str = "en") -> Found:
    """(kind, text) of each finding, as the stage looks: only for kinds whose prefilter matches."""
    maybe = candidates(pa.chunked_array([pa.array([text])]))
    kinds = tuple(kind for kind in KINDS if maybe[kind][0].as_py())
    spans = find(text, language, kinds)
    assert spans == find(text, language)
    return [(s.kind, text[s.start : s.end]) for s in spans]


def check(text: str, language: str, *expected: tuple[str, str]) -> None:
    assert found(text, language) == list(expected), text


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        (
            "#### 4.2.1.3 Configuring the kernel\n\nSee 5.3.2.1 for the options. OpenSSH 9.3.2.1 is older than this text. "
            "The server 93.184.216.34 answered.",
            ["93.184.216.34"],
        ),
        ("#### 12.2.2.1. Vorbereitungen\n\nWie in Abschnitt 11.1.7.3, „Mail“ steht, antwortet 93.184.216.34.", ["93.184.216.34"]),
        ("1.2.3.4 Scope\n1.2.3.5 Terms\n- 1.2.3.6 Rules\n| 3.7.16.1 | 2013 |", []),
        ("> 4.1.2.2 Kanäle\n* 7.5.3.7 Retours\n**6.3.4.6** Últimos pasos", []),
        ("voir la section 6.3.4.2, раздел 6.3.4.6, 見 2.5.4.3 と 第 4.2.1.3 節, Sección 6.3.9.2, §4.2.1.3", []),
        ("The OID 1.3.6.1.4.1.311 and the attribute 2.5.29.17 of X.509.", []),
        ("upgraded from 3.0.1.2 to 3.0.1.9, firmware 20.45.60.12, since 4.4.0.1", []),
        ("Chrome 31.0.15.200 and Oracle 11.2.0.4 on Samba server 4.2.1.3", []),
        ("Version: 120.45.60.12, v120.45.60.13, 版本号4.63.0.203", []),
        ("revisions 1.4.120.1 and 1.1.142.2: fixed", []),
        ("4.3.2.1.in-addr.arpa and 179.216.184.93.in-addr.arpa. and 2.0.217.93.black.list.tld", []),
        ("mask 255.255.255.0 on 10.1.2.3, 172.16.4.5, 192.168.1.9, 127.0.0.1, 169.254.3.4, 224.0.0.251, 100.64.1.2", []),
        ("documentation has 192.0.2.17, 198.51.100.4, 203.0.113.200; the relay is 192.88.99.1; 0.0.0.0 is any", []),
        ("the routes 93.184.216.0/24 and 8.8.8.0/24, network 93.184.216.0", []),
        ("nameserver 8.8.8.8\nping 9.9.9.9, then http://1.1.1.1/ and dig @8.8.4.4", ["8.8.8.8", "9.9.9.9", "1.1.1.1", "8.8.4.4"]),
        ("[client 72.15.99.187] GET / and 61.5.40.30:8080 and IP: 45.33.32.15", ["72.15.99.187", "61.5.40.30", "45.33.32.15"]),
        ("www IN A 45.33.32.15\nDer Host 85.10.20.30 und die IP-Adresse 5.9.8.7", ["45.33.32.15", "85.10.20.30", "5.9.8.7"]),
        ("see 93.184.216.34 and the example 185.220.101.45; rule: 93.184.216.35", ["93.184.216.34", "185.220.101.45", "93.184.216.35"]),
        ("versions 70.80.90.100, 70.80.90.101 and 70.80.90.102; from version 20.70.80.90 to 20.70.80.95", []),
        ("Google Chrome (115.120.90.98), Firefox 115.0.2.1, Android WebView 91.101.77.21 and boto3==1.26.118.3", []),
        ("hosts 93.184.216.34/32 and 93.184.216.0/24", ["93.184.216.34"]),
        ("ip==93.184.216.34 and version 2.0 at 93.184.216.35", ["93.184.216.34", "93.184.216.35"]),
    ],
)
def test_outline_numbers_versions_and_identifiers_are_no_ip_addresses(text: str, addresses: list[str]) -> None:
    check(text, "en", *(("ip", a) for a in addresses))


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        (
            "The class A::B inherits from D::E and calls A::f() in its constructor A::A(int). A module Face::Cafe is found in Perl. "
            "The address 2001:4860:4860::8888 answers.",
            ["2001:4860:4860::8888"],
        ),
        ("use Bad::Cafe; std::cout << abc::def::add; fe80::1 and ::1 and ff02::1 and fc00::7", []),
        ("abcd::cdab, 1::800, 64:ff9b::1, ::ffff:0 and dead:beef::1 are nobody's", []),
        ("2001:db8::7 and 3fff:123::9 document; 3ffe:8280::1, 2d00::1 and 3000::1 are not handed out", []),
        ("MAC 24:00:ab:cd:ef:01 at 20:01:30, ratio 2001:2:3, the prefix 2a00:1450::/32", []),
        ("2a00:1450:4001:81b::200e and [2606:4700::6810:84e5]:443", ["2a00:1450:4001:81b::200e", "2606:4700::6810:84e5"]),
        ("dial 2400:cb00:2048:1::c629:d7a2.", ["2400:cb00:2048:1::c629:d7a2"]),
    ],
)
def test_scope_operators_and_space_that_is_not_handed_out_are_no_ipv6(text: str, addresses: list[str]) -> None:
    check(text, "en", *(("ip", a) for a in addresses))


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        (
            "Run systemctl enable getty@tty1.service, then reload. In Kotlin this@MainActivity.applicationContext is the context. "
            "Write to jane.roe@sluice-gates.org for help.",
            ["jane.roe@sluice-gates.org"],
        ),
        ("systemctl start openvpn@office.socket foo@bar.timer user@1000.slice serial-getty@ttyS0.target dhcp@eth0.mount", []),
        ("return@forEach.name, super@Outer.link, this@MainActivity.window, this@Page.app", []),
        ("y = A@B.transpose + x@w.reshape and @app.route, logo@2x.zip and icon@3x.mov", []),
        ("user@host.dom, account@cvs.lan, ceo@up.stairs, root@box.local, me@mail.internal, name@domain.ext", []),
        ("user@example.com, jane@mail.example.org, x@example.net, y@school.test, z@foo.invalid, w@example.edu", []),
        ("ssh -p 2222 root@shell.sluice-gates.org; scp a.txt bob@sluice-gates.org:/tmp; ftp://anna:word@sluice-gates.org/", []),
        ("Message-ID: <20040101.77@sluice-gates.org>, In-Reply-To: <abc$1@sluice-gates.org>, in <6940@sluice-gates.org>", []),
        ("GAB!sex@pool.sluice-gates.it and [silver@pool.sluice-gates.pl] has joined #chat", []),
        ("git@github.com:user/repo.git and alice@sluice-gates.org:src", []),
        (
            "jane@sluice-gates.museum, иван@почта.рф is not ours, bob@xn--e1afmkfd.xn--p1ai, MAX@SLUICE-GATES.DE, 12345678@qq.com",
            ["jane@sluice-gates.museum", "bob@xn--e1afmkfd.xn--p1ai", "MAX@SLUICE-GATES.DE", "12345678@qq.com"],
        ),
        ("(mailto:o'neil.j+x@mail.sluice-gates.co.uk)", ["neil.j+x@mail.sluice-gates.co.uk"]),
        ("*jane@gates.org*, **joe@gates.org** and _ann@gates.org_", ["jane@gates.org", "joe@gates.org", "ann@gates.org"]),
        ("Brief an jane@mühlen.de, dann *!*@host.org und __init__@gates.org", ["jane@mühlen.de"]),
    ],
)
def test_units_code_and_logins_are_no_mail_addresses(text: str, addresses: list[str]) -> None:
    check(text, "en", *(("email", a) for a in addresses))


def test_top_level_domains_are_those_of_the_root_zone() -> None:
    domains = top_level_domains()
    assert {"com", "de", "museum", "中国", "xn--fiqs8s", "рф", "xn--p1ai"} <= domains
    assert not {"service", "socket", "timer", "local", "internal", "lan", "dom", "png", "html", "transpose", "applicationcontext"} & domains


@pytest.mark.parametrize(
    ("language", "text", "numbers"),
    [
        ("de", "Der Mittelwert vom 12.03.2004 war 0.12345678, und die Maske ist 255.255.255.0 im Netz.", []),
        ("de", "Die Hotelnummer 01.02.2019, der Titel 2019-12-31, das Artikelkapitel 030.123.456", []),
        ("en", "Telugu ౧౨౩౪౫౬౭౮౯౦ and the hotel 10.04.2019; recall 3.14159265, so call(1.4142135624) returns", []),
        ("en", "The parcel 1234567890 and the intercell 5020 7946 of the spring 0123456789", []),
        ("it", 'comprato il 01/03/1999 e il 05.05.2002; tel dal 02/2013; "01/06/1999"; 31-12-2020', []),
        ("en", "Aristotle, 384-322 BC; Boston, MA 02110-1301; pages 0101-0202; fax from 1999-2004", []),
        ("en", "| 538 538 1075 | 538 538 1076 |\n01 02 03 04 05 06 07 08 09 10 11 12\n133 8232 8233 8234", []),
        ("fr", "entre -922 337 203 685 477,58 et +922 337 203 685 477,58 ; le 01.02.2003", []),
        ("en", "phone 192.168.1.42, mobile 10.0.0.0/27, call 255.255.255.0", []),
        ("de", "Tel.: 030 23125 111, Fax +49 30 23125-112", ["030 23125 111", "+49 30 23125-112"]),
        ("en", "homePhone: (202) 456-1111, phone_number=202-456-1414", ["(202) 456-1111", "202-456-1414"]),
        ("fr", "Téléphone : 01.42.68.53.00 ou 01 42 68 53 01", ["01.42.68.53.00", "01 42 68 53 01"]),
        ("ru", "Телефон: +7 495 123-45-67", ["+7 495 123-45-67"]),
        ("de", "Telefonnummer 0301234567, Rufnummer: 089/1234567", ["0301234567", "089/1234567"]),
        (
            "ja",
            "電話番号は03-3123-4567です。TEL：03（3123）4568まで、お問い合わせは0120-444-444へ",
            ["03-3123-4567", "03（3123）4568", "0120-444-444"],
        ),
        ("ko", "010-1234-5678로 연락, 전화는 02-312-3456입니다", ["010-1234-5678", "02-312-3456"]),
        ("zh", "联系电话是010-62345678转分机，座机0755-86123456。", ["010-62345678", "0755-86123456"]),
        ("zh", "电话12345678元，第010-62345678号，于2003-05-06发布，编号12345678，共0123 456 789米", []),
        ("ja", "2004年03月12日に03-04-2005円、電話は12345678件", []),
        (
            "en",
            "Ph: 98765 43210, Mob. 9876543211; call 415\u2011867\u20115309 or phone 415\u2013867\u20135310",
            ["98765 43210", "9876543211", "415\u2011867\u20115309", "415\u2013867\u20135310"],
        ),
        ("en", "pH 7.1234567 and 1939\u20131945 and 384\u2013322; pages 0123\u20130145; a mob 1234567 strong", []),
        (
            "de",
            "Rufen Sie 0171/2345678 an, Tel. 089 / 23 45 67, Fax 030 \u2013 2345678",
            ["0171/2345678", "089 / 23 45 67", "030 \u2013 2345678"],
        ),
        ("fr", "Appelez le 0612345678 ; le tableau de 1234567", ["0612345678"]),
        ("es", "Llame al 912 345 678", ["912 345 678"]),
        ("ru", "тел.8(495)123-45-67, Tel.030 1234567", ["8(495)123-45-67"]),
        ("en", "dump 00 11 22 33 44 55 66 and .0123456 and v2.0123456789", []),
        ("da", "Tlf. 33 12 34 56", ["33 12 34 56"]),
        ("sv", "Tel. 08-123 456 78, mobil 070-123 45 67", ["08-123 456 78", "070-123 45 67"]),
        ("cs", "Tel: 224 123 456, 12. 03. 2004", ["224 123 456"]),
    ],
)
def test_dates_decimals_masks_and_rows_are_no_telephone_numbers(language: str, text: str, numbers: list[str]) -> None:
    check(text, language, *(("phone", n) for n in numbers))


@pytest.mark.parametrize(
    ("language", "text", "numbers"),
    [
        ("en", "| Paragraph separator | 10 12 13 10 + 13 28 29 30 133 8232 8233 |", []),
        ("en", "total 14511243264 bytes; size 13812345678; ts=13812345678", []),
        ("zh", "文件大小13812345678字节，订单号13812345678，编号：13912345678，0.13812345678", []),
        ("zh", "10 12 133 8232 8233 8234 是段落分隔符", []),
        ("zh", "手机13812345678，电话：138-1234-5679。", ["13812345678", "138-1234-5679"]),
        ("en", "mobile 13812345678 or +86 138 1234 5679", ["13812345678", "+86 138 1234 5679"]),
    ],
)
def test_numbers_of_other_things_are_no_chinese_mobiles(language: str, text: str, numbers: list[str]) -> None:
    check(text, language, *(("mobile", n) for n in numbers))


@pytest.mark.parametrize(
    ("text", "plates"),
    [
        ("全新RTX3080显卡和最新GTX1080评测已经发布，阿里云ECS2019实例也更新了。他的车牌是粤B12345，停在楼下。" * 2, ["粤B12345"] * 2),
        ("新RTX3080、新GTX1660和云ECS2019都打折。新A12345型电池也来了。", []),
        ("腾讯云CVM2021，更新KB50012，创新GT73210，南京A12345项目，青川B12345号文件", []),
        ("东京C51234次列车，乘坐苏G70123高铁", []),
        ("粤BABCDE不是号牌，粤IO1234也不是，京A123", []),
        ("车牌号新A12345，另一辆云AD12345。川A·12345停在门口", ["新A12345", "云AD12345", "川A·12345"]),
        ("沪A12345D驶入，京AF0236轿车；驾驶浙B8888警", ["沪A12345D", "京AF0236", "浙B8888警"]),
        ("新EQC400车型上市", []),
        ("新A12345车展", []),
        ("新A12346车主", ["新A12346"]),
    ],
)
def test_model_names_after_a_province_are_no_number_plates(text: str, plates: list[str]) -> None:
    check(text, "zh", *(("plate", p) for p in plates))


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        (
            "Open the Windows 10 Registry Key and set it. Chapter 3 The Dark Forest tells why. "
            "He lives at 221 Baker Street, London NW1 6XE.",
            ["221 Baker Street, London NW1 6XE"],
        ),
        ("Windows 11 Update Center, Server 2019 Data Center, World War 2 Flying Fortress Field, Office 365 Admin Center", []),
        ("Chapter 12 The Long Way, Figure 3 Main Court, Top 10 Forest Trails, Step 2 Open The Gateway, Level 5 Boss Run", []),
        ("CVE-2022-26307 Weak Master Keys; PRO/1000 PT Dual Port adapter; 13 My Way; 2 Private Stream", []),
        ("## 3.12. 2 Releasing The Lock\n2000-2002 Japan Network Information Center\n5 New Product Lines", []),
        ("Version 7 Wall Street Edition, the 100 Best Golf Courses, 4 Data Streams", []),
        ("FSF, 51 Franklin Street, Boston; 350 W 42nd St, New York", ["51 Franklin Street", "350 W 42nd St"]),
        (
            "Address: 12 Chestnut Court. She lives at 7 Elm Way, ship it to 90 Old Forest",
            ["12 Chestnut Court", "7 Elm Way", "90 Old Forest"],
        ),
        ("59 Temple Place, Suite 330, Boston, MA 02111-1307", ["59 Temple Place, Suite 330, Boston, MA 02111-1307"]),
        ("in 2008 Wall Street fell; In 1999 Abbey Road sold; WWII 1944 Burma Road; on 9 May Street fairs open", []),
        ("He moved to 2020 Silk Road and she lives in 1600 Abbey Road", ["2020 Silk Road", "1600 Abbey Road"]),
    ],
)
def test_products_and_titles_are_no_street_addresses(text: str, addresses: list[str]) -> None:
    check(text, "en", *(("address", a) for a in addresses))


@pytest.mark.parametrize(
    ("language", "text", "names"),
    [
        ("en", "name: String\nrecipient: An address\nName: The property name\nSubject Alternative Name: DNS:debian", []),
        ("en", "Package name: Mozilla Firefox, File Name: Annual Report, Host Name: Blue Whale, Contact: Internet Systems Consortium", []),
        ("en", "Upstream-Name: Planet Venus\nMr. Foo and Mr. Testing Bot, and Mr. Potato of the potato farm", []),
        ("de", "name: Der Eigenschaftsname\nrecipient: Eine Adresse", []),
        ("it", "Miss Italia, Miss Cinema", []),
        ("zh", "客户 管理 系统，联系人方式，负责人：由部门指定", []),
        ("en", "Dr. Sun's Birthday, Name: Karen Mitchell\nUpstream-Contact: Paul Turner <x>", ["Sun", "Karen Mitchell", "Paul Turner"]),
        ("en", "Contact name: Karen Mitchell; Prof. Jane R. Doe", ["Karen Mitchell", "Jane R. Doe"]),
        ("zh", "姓名：张伟，联系人 李娜。", ["张伟", "李娜"]),
    ],
)
def test_labels_types_and_products_are_no_names(language: str, text: str, names: list[str]) -> None:
    check(text, language, *(("name", n) for n in names))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "4111 1111 1111 1111 4111 1111 1111 1111 1111 are rows; 0.4111111111111111; id_4111111111111111; 4111111111111111.5"),
        ("zh", "订单号622900194307024821已发货，产品编号：671002429938362594"),
        ("en", "passport.js 20190101, passports since 19991231, a passport for build 1234567.8"),
    ],
)
def test_other_numbers_are_no_cards_and_no_passports(language: str, text: str) -> None:
    check(text, language)


def test_verdicts_hold_no_text_of_a_true_finding() -> None:
    with gzip.open(VERDICTS, "rt", encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) >= 1500 and len({r["language"] for r in rows}) >= 6 and len({(r["package"], r["path"]) for r in rows}) >= 300
    for row in rows:
        assert re.fullmatch(r"[0-9a-f]{16}", row["digest"]) and row["true"] in ("0", "1") and row["kind"] in KINDS
        assert row["text"] == "" if row["true"] == "1" or row["kind"] in ("email", "name") else True
        if row["text"]:
            whole = hashlib.sha256(f"{row['path']}\t{row['text']}".encode()).hexdigest()
            assert whole.startswith(row["digest"]) and row["why"]


def test_false_findings_of_real_pages_are_found_no_more() -> None:
    """Heading numbers, dates and titles on record, each alone on a line and as a heading, as they stood."""
    with gzip.open(VERDICTS, "rt", encoding="utf-8", newline="") as f:
        rows = [r for r in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE) if r["text"] and r["why"].startswith("a heading")]
    assert len(rows) >= 100
    for row in rows:
        for text in (f"Text before.\n\n#### {row['text']}. Title here\n\nText after.", f"Text.\n{row['text']} Title\n"):
            check(text, row["language"])


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1" * 4000, "ssh " * 8000 + "a@b.com", "<a@b> " * 5000, "tel " * 8000, "Tel. 0 " * 5000, "1 Aa " * 6000 + "Street",
        "Name: " * 5000, "Mr. Aa " * 4000, "新A" * 9000, "2001:" * 6000, "from to at " * 4000 + "1.2.3.4",
        "upgrade a b c " * 3000 + "1.2.3.4",
        "1 2nd " * 5000, "message-id: " + "<a@b.cc>," * 4000, "a" * 30000 + "@b.com", "4111 " * 8000,
    ],
)  # fmt: skip
def test_no_text_takes_more_than_linear_time(text: str) -> None:
    def seconds(piece: str) -> float:
        started = time.process_time()
        for language in ("en", "zh", "de"):
            find(piece, language)
        return time.process_time() - started

    find("warm 1.2.3.4 a@b.com tel 030 1234567", "en")
    assert seconds(text) < 3


def test_the_stage_finds_what_the_detectors_find() -> None:
    text = "#### 4.2.1.3 Kernel\n\nThe server 93.184.216.34, jane.roe@sluice-gates.org, getty@tty1.service."
    table = pa.table({"uid": ["0"], "text": pa.array([text], pa.large_string()), "verdict_language.language": ["en"]})
    assert Pii().process(table)["kinds"].to_pylist() == [["ip", "email"]]
