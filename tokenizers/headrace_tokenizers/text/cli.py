"""`headrace tokenizer`: look at a vocabulary, encode and decode."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from headrace_lake.terminal.console import JsonOption, echo, emit_result, show_table

app = typer.Typer(help="The text vocabulary: show, encode, decode, export.", no_args_is_help=True)

DEFAULT = Path("tokenizers/configs/qwen_text.yaml")
SpecOption = Annotated[Path, typer.Option("--vocabulary", help="The vocabulary's YAML specification.")]


@app.command()
def show(vocabulary: SpecOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Print the specification and its digest."""
    from headrace_tokenizers.text.vocabulary import describe, load_spec

    spec = load_spec(vocabulary)
    described = describe(spec)
    show_table(spec.id, ("field", "value"), [(k, str(v)) for k, v in described.items()])
    emit_result(described)


@app.command()
def encode(
    text: Annotated[str, typer.Argument(help="The text; `-` reads standard input.")],
    vocabulary: SpecOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Print the ids of a text, separated by spaces."""
    from headrace_tokenizers.text.vocabulary import load_vocabulary

    content = sys.stdin.buffer.read().decode("utf-8", "replace") if text == "-" else text
    ids = [int(i) for i in load_vocabulary(vocabulary).encode(content)]
    echo(" ".join(map(str, ids)))
    emit_result({"ids": ids})


@app.command()
def decode(
    ids: Annotated[list[int], typer.Argument(help="Token ids.")], vocabulary: SpecOption = DEFAULT, as_json: JsonOption = False
) -> None:
    """Print the text of ids; control tokens are written by name."""
    from headrace_tokenizers.text.vocabulary import load_vocabulary

    text = load_vocabulary(vocabulary).decode(ids)
    echo(text)
    emit_result({"text": text})


@app.command()
def export(folder: Annotated[Path, typer.Argument(help="Folder for the files.")], vocabulary: SpecOption = DEFAULT) -> None:
    """Write the vocabulary as Hugging Face files."""
    from headrace_tokenizers.text.huggingface import write_hf_tokenizer
    from headrace_tokenizers.text.vocabulary import load_vocabulary

    folder.mkdir(parents=True, exist_ok=True)
    for file in write_hf_tokenizer(load_vocabulary(vocabulary), folder):
        echo(str(file))


@app.command()
def bench(file: Annotated[Path, typer.Argument(help="A UTF-8 text.")], vocabulary: SpecOption = DEFAULT) -> None:
    """Time the encoder on a text: megabytes a second, bytes a token."""
    import time

    from headrace_lake.errors import InputError
    from headrace_tokenizers.text.vocabulary import load_vocabulary

    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as exc:
        raise InputError(f"{file}: {exc.strerror}", "check the path") from exc
    encoder = load_vocabulary(vocabulary)
    start = time.perf_counter()
    tokens = len(encoder.encode(text))
    seconds = time.perf_counter() - start
    size = len(text.encode("utf-8"))
    echo(f"{size / seconds / 1e6:.1f} MB/s, {size / max(tokens, 1):.2f} bytes a token, {tokens} tokens")
