"""The vocabulary as Hugging Face files (`tokenizer.json`, `tokenizer_config.json`), for releases.

`AutoTokenizer` on the folder gives the same ids as `Vocabulary.encode`. `split_special_tokens` is on: a text that
contains `<|endoftext|>` is ordinary characters there too; who wants control tokens adds their ids.

Hugging Face wants merges where tiktoken has ranks: a token's merge is the last step by which its bytes are joined when
only lower ranks may be used. That takes about 3 s for 151,643 tokens and is checked by the tests, id by id.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from headrace_tokenizers.text.vocabulary import PRE_TOKENS, Vocabulary, VocabularySpec, read_ranks

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"


def write_hf_tokenizer(vocabulary: Vocabulary, folder: str | Path, *, context: int = 4096) -> list[Path]:
    """Write both files into an existing folder; the same vocabulary gives the same bytes.

    Args:
        context: longest sequence of the model, in tokens.
    """
    target = Path(folder)
    files = {TOKENIZER_FILE: _tokenizer_text(vocabulary.spec.model_dump_json()), CONFIG_FILE: _text(_config(vocabulary, context))}
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8")
    return [target / name for name in files]


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


@lru_cache(maxsize=1)
def _tokenizer_text(spec_json: str) -> str:
    """The larger file, 12 MB that take seconds to make; kept for who releases or exports again."""
    return _text(_tokenizer(VocabularySpec.model_validate_json(spec_json)))


def _tokenizer(spec: VocabularySpec) -> dict[str, Any]:
    ranks = read_ranks(spec)
    alphabet = byte_alphabet()
    names = {token: "".join(alphabet[b] for b in token) for token in ranks}
    merges = [[names[left], names[right]] for left, right in merges_of(ranks)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, **token} for i, token in _special(spec)],
        "normalizer": {"type": "NFC"} if spec.normalisation == "NFC" else None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PRE_TOKENS}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
            ],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {names[token]: rank for token, rank in sorted(ranks.items(), key=lambda kv: kv[1])},
            "merges": merges,
        },
    }


def _special(spec: VocabularySpec) -> list[tuple[int, dict[str, Any]]]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [(i, {"content": name, **plain}) for name, i in sorted(spec.special.items(), key=lambda kv: kv[1])]


def _config(vocabulary: Vocabulary, context: int) -> dict[str, Any]:
    spec = vocabulary.spec
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "eos_token": spec.eod,
        "pad_token": spec.eod,
        "bos_token": None,
        "unk_token": None,
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {str(i): token for i, token in _special(spec)},
        "headrace_vocabulary_digest": vocabulary.digest,
    }


def byte_alphabet() -> list[str]:
    """GPT-2's printable letter for every byte (Radford et al. 2019, encoder.py): printable Latin-1 stands for itself."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in printable}
    for b in range(256):
        letters.setdefault(b, chr(256 + sum(x not in printable for x in range(b))))
    return [letters[b] for b in range(256)]


def merges_of(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The merge of every token of two or more bytes, by rank."""
    return [_last_merge(token, rank, ranks) for token, rank in sorted(ranks.items(), key=lambda kv: kv[1]) if len(token) > 1]


def _last_merge(token: bytes, rank: int, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        best, at = rank, -1
        for i in range(len(parts) - 1):
            joined = ranks.get(parts[i] + parts[i + 1])
            if joined is not None and joined < best:
                best, at = joined, i
        if at < 0:
            raise ValueError(f"token {rank} cannot be built from lower ranks")
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]
