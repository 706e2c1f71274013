"""`headrace decontaminate`: evaluation sets, and where their items stand in the documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_lake.terminal import completion
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_table

if TYPE_CHECKING:
    from headrace_governance.decontamination.rules import DecontaminationParams
    from headrace_lake.receipts import Receipt

app = typer.Typer(help="Evaluation sets, and where their items stand in the documents.", no_args_is_help=True)

_Columns = list[str] | None
PipelineOption = Annotated[str, typer.Option("--pipeline", help="Pipeline whose rules count.", autocompletion=completion.pipelines)]


@app.command("register")
def register_set(
    file: Annotated[Path, typer.Argument(help="Items: .jsonl (also .gz, .zst) or .parquet.")],
    name: Annotated[str, typer.Option("--set", help="Name of the set.")],
    language: Annotated[str, typer.Option("--language", help="ISO 639-1 code of its items.")],
    licence: Annotated[str, typer.Option("--licence", help="What its authors allow, such as CC-BY-4.0.")],
    revision: Annotated[str, typer.Option("--revision", help="Its authors' version; the content's digest by default.")] = "",
    question: Annotated[_Columns, typer.Option("--question", help="Column of questions; a.b for a nested one. May be repeated.")] = None,
    answer: Annotated[_Columns, typer.Option("--answer", help="Column of answers or choices.")] = None,
    context: Annotated[_Columns, typer.Option("--context", help="Column of passages that a question is asked about.")] = None,
    id_: Annotated[str, typer.Option("--id", help="Column of the item's id; the row's number by default.")] = "",
    language_column: Annotated[str, typer.Option("--language-column", help="Column of each item's language.")] = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register an evaluation set; without column options, columns named question, answer and context are taken."""
    from headrace_governance.decontamination.items import Mapping, SetAbout, read_items
    from headrace_governance.decontamination.sets import register
    from headrace_lake.strict import parse

    about = {"name": name, "language": language, "licence": licence, "revision": revision}
    chosen = {"question": question, "answer": answer, "context": context}
    fields = {f: tuple(columns) for f, columns in chosen.items() if columns} or {f: (f,) for f in chosen}
    declared = parse(about, SetAbout, where="--set, --language, --licence")
    rows = read_items(file, declared, Mapping(fields=fields, id=id_, language_column=language_column))
    _say(name, register(open_lake(settings, create=True), declared, rows), len(rows.items))
    for number, error, _ in rows.bad[:20]:
        echo(f"row {number}: {error}")


@app.command("register-held-out")
def register_held_out(
    mix: Annotated[str, typer.Argument(help="Name of a mix in the lake.")],
    name: Annotated[str, typer.Option("--set", help="Name of the set; held-out-MIX by default.")] = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register the documents that a mix holds out, paragraph by paragraph, so that no copy of them is trained on."""
    from headrace_governance.decontamination.items import SetAbout
    from headrace_governance.decontamination.sets import held_out_of_mix, held_out_rows, register
    from headrace_lake.strict import parse

    name = name or f"held-out-{mix}"
    lake = open_lake(settings)
    about = parse({"name": name, "language": "und", "licence": "as-the-documents"}, SetAbout, where="--set")
    rows = held_out_rows(lake, name, held_out_of_mix(lake, mix))
    _say(name, register(lake, about, rows), len(rows.items))


@app.command("sets")
def sets(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """List the registered sets."""
    table = open_lake(settings).read("evaluation_items", columns=["set", "item", "language", "licence", "revision"])
    groups = table.group_by(["set", "licence", "revision"], use_threads=False).aggregate(
        [("item", "count_distinct"), ([], "count_all"), ("language", "distinct")]
    )
    rows: list[dict[str, Any]] = [
        {
            "set": g["set"],
            "items": g["item_count_distinct"],
            "texts": g["count_all"],
            "languages": " ".join(sorted(g["language_distinct"])),
            "licence": g["licence"],
            "revision": g["revision"],
        }
        for g in groups.sort_by("set").to_pylist()
    ]
    show_table("evaluation sets", ["set", "items", "texts", "languages", "licence", "revision"], [list(r.values()) for r in rows])
    emit_result({"sets": rows})


@app.command("forget")
def forget_set(
    name: Annotated[str, typer.Argument(help="Name of a set.")], settings: SettingsOption = None, as_json: JsonOption = False
) -> None:
    """Take a set away; its earlier versions stay in the table's history."""
    from headrace_governance.decontamination.sets import forget

    forget(open_lake(settings), name)
    echo(f"set {name}: forgotten")
    emit_result({"set": name})


@app.command("count-common")
def count(
    slices: Annotated[list[str] | None, typer.Argument(metavar="SOURCE/INTERVAL...", help="Slices to count in; all by default.")] = None,
    pipeline: PipelineOption = "text",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count in how many documents the items' runs of words stand; common phrases then start no match."""
    from headrace_governance.decontamination.sets import count_common
    from headrace_lake.slices import Slice

    params = _params(settings, pipeline)
    receipt, documents = count_common(open_lake(settings), params, [Slice.parse(s) for s in slices or []])
    echo(f"{documents:,} documents: {receipt.counts.kept:,} runs of words stand in several of them")
    emit_result({"documents": documents, "common": receipt.counts.kept})


@app.command("report")
def show_report(
    name: Annotated[str, typer.Option("--set", help="Only this set.")] = "",
    slice_: Annotated[
        str, typer.Option("--slice", help="Only in SOURCE/INTERVAL; everywhere by default.", autocompletion=completion.slices)
    ] = "",
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json-file", help="Also write everything, item by item.")] = None,
    samples: Annotated[int, typer.Option("--samples", min=0, help="Items found to show.")] = 10,
    pipeline: PipelineOption = "text",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """The clean and the contaminated part of every set, by source, with the items that were found."""
    import json

    from headrace_governance.decontamination.report import STATES, as_html, report
    from headrace_lake.slices import Slice

    found = report(open_lake(settings), _params(settings, pipeline), set_=name, slice_=Slice.parse(slice_) if slice_ else None)
    show_table("items of evaluation sets", ["set", "items", *STATES], [list(r.values()) for r in found.sets])
    headings = ["set", "source", "documents", "dropped", "marked", "items found"]
    show_table("documents with items", headings, [list(r.values()) for r in found.sources])
    seen = [i for i in found.items if i.found][:samples]
    if seen:
        rows = [[i.set, i.item, i.state, len(i.found), f"{i.found[0][0]} ({i.found[0][1]})"] for i in seen]
        show_table("items found", ["set", "item", "state", "documents", "first"], rows)
    if html is not None:
        html.write_text(as_html(found), encoding="utf-8")
    if json_file is not None:
        json_file.write_text(json.dumps(found.as_json(), ensure_ascii=False, indent=1), encoding="utf-8")
    emit_result({"sets": found.sets, "sources": found.sources, "items_shown": [i.__dict__ for i in seen]})


def _params(settings: Path | None, pipeline: str) -> DecontaminationParams:
    """The rules of the pipeline's decontamination; the defaults where it has none."""
    from headrace_governance.decontamination.rules import DecontaminationParams
    from headrace_lake.engine import load_pipeline
    from headrace_lake.settings import load_settings

    params = (s.params for s in load_pipeline(load_settings(settings), pipeline).stages)
    return next((p for p in params if isinstance(p, DecontaminationParams)), DecontaminationParams())


def _say(name: str, receipt: Receipt, texts: int) -> None:
    c = receipt.counts
    echo(f"set {name}: {c.kept} items of {c.read} rows, {texts} texts; {c.failed} rows quarantined")
    emit_result({"set": name, "fingerprint": receipt.fingerprint, "read": c.read, "kept": c.kept, "failed": c.failed, "texts": texts})
