"""Pages of our own typing, imported into a slice: originals, a copy, a page in German, code, a short and an empty one."""

from __future__ import annotations

import shutil
from pathlib import Path

from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.sources.source import Source
from headrace_lake.lake import Lake
from headrace_lake.slices import Slice

ENGLISH = [
    "The canal that feeds the mill was dug by the monks, and it has been kept clean with great care for six hundred years.",
    "In winter the miller breaks the ice before dawn, because a frozen wheel can tear its axle from the wall of the house.",
    "A sluice gate of oak holds back the pond; when it is raised the water falls on the buckets and the great stone turns.",
    "Farmers came from every valley with their grain and waited, talking about prices, weddings and the weather of the year.",
    "Today the building is a museum, and children may lift the gate themselves to see how the force of the water is tamed.",
    "Its records of rainfall, begun in 1712, are read by scientists who study how the climate of the hills has changed.",
]
BAKERY = [
    "The baker who took the flour lived across the square, and his oven was lit before anyone else in the town had risen.",
    "He let the dough rest for a whole night in wooden troughs, because slow bread keeps longer and has a better crust.",
    "On market days the children carried the loaves on boards that were laid across two poles, and they were paid in rolls.",
    "When the river was low there was no flour for weeks, and the old people remembered what their mothers had made of chestnuts.",
    "A fire took the roof of the bakery in a dry summer, but the oven stood, and bread was sold from under a tent the same week.",
    "The last of the family sold the house to a school, and the pupils still bake there once a year with the recipe of the founder.",
]
GERMAN = "Der Kanal speist die Mühle, und der Müller hält das Wehr sauber, damit das Rad im Winter nicht stehen bleibt. "


PAGES = {
    "canal.html": "".join(f"<p>{s}</p>" for s in ENGLISH),
    "wheel.html": "".join(f"<p>{s}</p>" for s in ENGLISH[:3] + BAKERY[3:])
    + "<p>The wheel itself was rebuilt twice, and nobody has counted its buckets.</p>",
    "copy.html": "<div>" + "".join(f"<p>{s}\n</p>" for s in ENGLISH) + "</div>",
    "muehle.html": "".join(
        f"<p>{GERMAN}{i}. Kapitel des Buches über das {w}.</p>" for i, w in enumerate(["Rad", "Wasser", "Haus", "Korn", "Dorf"])
    ),
    "short.html": "<p>The mill is closed today, come back with the sun.</p>",
    "code.html": "".join(f"<p>{s}</p>" for s in BAKERY) + "<p>if (x) { y } and the mill stops.</p>",
    "empty.html": "<script>only();</script>",
    "letter.html": "".join(f"<p>{s}</p>" for s in ENGLISH[3:] + BAKERY[:2])
    + "<p>21 likes</p>"
    + "<p>Those who want to see the wheel may write to jane.miller@millhouse.co.uk or call +44 20 7946 0018, and have to wait.</p>",
}


def bring(lake: Lake, folder: Path, slice_: Slice, pages: dict[str, str]) -> None:
    """Import pages as the slice's captures."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, body in pages.items():
        (folder / name).write_text(f"<html><head><title>{name}</title></head><body>{body}</body></html>", encoding="utf-8")
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written for this test", "evidence": {"text": "public domain"}}
    source = Source.model_validate({"id": slice_.source, "licence": licence, "fetch": {"kind": "folder", "path": str(folder)}})
    fetch_slice(lake, source, slice_)
