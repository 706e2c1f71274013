"""Books as plain text with Project Gutenberg's header and markers: fields, chapters, paragraphs, verse."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importer_trials import run_import

from headrace_governance.text.formats.gutenberg.convert import chapters, convert_book, opened
from headrace_lake.settings import Settings

BODY = """
Produced by Nobody at all

THE MILL ON THE CANAL

CONTENTS

CHAPTER I. The Wheel

CHAPTER II. The Sluice

CHAPTER I. The Wheel

The miller woke before dawn, for the wheel had stopped, and the well-
known sound of the water was gone. He thought of nothing but the mach-
inery, and _that_ was new--
altogether new--to him. A well-known man, he was.

    The water falls, the water falls,
      And no one hears it go;
    The wheel that turned the summer through
      Is sleeping in the snow.

He went down.

       *       *       *       *       *

CHAPTER II.
THE SLUICE

"Who is there?" he said. Nobody answered, and the gate of oak was
standing open.
"""
HEADER = """\ufeffThe Project Gutenberg eBook of The Mill on the Canal

This ebook is for the use of anyone anywhere.

Title: The Mill on the Canal

Author: A. Nobody

Release date: March 1, 2020 [eBook #98765]

Language: English

*** START OF THE PROJECT GUTENBERG EBOOK THE MILL ON THE CANAL ***
"""
FOOTER = "\n*** END OF THE PROJECT GUTENBERG EBOOK THE MILL ON THE CANAL ***\n\nUpdated editions will replace the previous one.\n"
TEXT = """# The Mill on the Canal

THE MILL ON THE CANAL

CONTENTS

CHAPTER I. The Wheel

CHAPTER II. The Sluice

## CHAPTER I. The Wheel

The miller woke before dawn, for the wheel had stopped, and the well-known sound of the water was gone. He thought of nothing but the \
machinery, and *that* was new--altogether new--to him. A well-known man, he was.

The water falls, the water falls,
  And no one hears it go;
The wheel that turned the summer through
  Is sleeping in the snow.

He went down.

* * *

## CHAPTER II. THE SLUICE

"Who is there?" he said. Nobody answered, and the gate of oak was standing open."""


def test_a_book_becomes_one_document_with_chapters(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "pg98765.txt").write_text((HEADER + BODY + FOOTER).replace("\n", "\r\n"), encoding="utf-8")
    (tmp_path / "pg2.txt").write_text(HEADER.replace("98765", "2") + "Copyrighted. Read the copyright notice" + BODY + FOOTER)
    (tmp_path / "pg3.txt").write_text(HEADER.replace("98765", "3") + FOOTER)
    (tmp_path / "pg4.txt").write_bytes(b"\x00\x01" * 500)
    got = run_import(settings, {"kind": "gutenberg", "paths": [str(tmp_path / "*.txt")]})
    url = "https://www.gutenberg.org/ebooks/98765"
    assert got.texts == {url: TEXT}
    assert got.fields[url] == {
        "title": "The Mill on the Canal", "author": "A. Nobody", "release_date": "March 1, 2020", "language": "English", "number": "98765",
    }  # fmt: skip
    assert got.captures[0]["language_hint"] == "en"
    assert {reason for _, reason in got.dropped} == {"copyrighted", "no_text", "not_text"}


def test_a_book_becomes_a_document_a_chapter(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "pg98765.txt").write_text(HEADER + BODY + FOOTER, encoding="utf-8")
    got = run_import(settings, {"kind": "gutenberg", "paths": [str(tmp_path / "*.txt")], "split": "chapter"})
    url = "https://www.gutenberg.org/ebooks/98765#chapter-"
    assert list(got.texts) == [url + "1", url + "2"]
    assert got.texts[url + "2"] == "# The Mill on the Canal\n\n" + TEXT[TEXT.index("## CHAPTER II. THE") :]
    assert got.fields[url + "2"]["author"] == "A. Nobody" and "START" not in got.texts[url + "1"]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("*** START OF THIS PROJECT GUTENBERG EBOOK X ***", "*** END OF THIS PROJECT GUTENBERG EBOOK X ***"),
        ("***START OF THE PROJECT GUTENBERG EBOOK X***", "***END OF THE PROJECT GUTENBERG EBOOK X***"),
        ("*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*", "End of the Project Gutenberg Etext of X"),
        ("*** START OF THE PROJECT GUTENBERG EBOOK X ***", "End of Project Gutenberg's X, by A. Nobody"),
    ],
)
def test_the_markers_variants(start: str, end: str) -> None:
    assert opened(f"Title: X\n\n{start}\nbody\n{end}\nlegal").body.strip() == "body"


def test_headings_of_several_languages_and_none_in_a_table_of_contents() -> None:
    body = "Kapitel 1\n\nText.\n\n第一章 水车\n\n水。\n\nГлава II\n\nТекст.\n\nPREFACE\n\nWords.\n\nIV.\n\nMore.\n\nI went home.\n"
    assert [h for _, h in chapters(body)] == ["Kapitel 1", "第一章 水车", "Глава II", "PREFACE", "IV."]


def test_chinese_lines_are_joined_without_blanks_and_latin_1_is_read() -> None:
    assert convert_book("水车在河边转\n动。\n".encode("gb18030"), "gb18030").text == "水车在河边转动。"
    assert convert_book("Der Müller\nging heim.".encode("latin-1"), None).text == "Der Müller ging heim."


@given(st.text(alphabet="ABa-_* \n\r.,IVX1“CHAPTER水", max_size=300))
def test_every_letter_of_a_book_stays(text: str) -> None:
    converted = convert_book(text.encode(), "utf-8").text
    letters = [c for c in text if c.isalnum()]
    assert [c for c in converted if c.isalnum()] == letters
