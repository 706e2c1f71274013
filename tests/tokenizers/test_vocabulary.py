"""Qwen's ids, and no text that can make a control id."""

from __future__ import annotations

import itertools
import unicodedata
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from headrace_lake.errors import ConfigError, InputError
from headrace_tokenizers.text import vocabulary as module
from headrace_tokenizers.text.bpe import encoder
from headrace_tokenizers.text.huggingface import write_hf_tokenizer
from headrace_tokenizers.text.vocabulary import Vocabulary, load_spec, load_vocabulary, vocabulary

SPEC = Path(__file__).parents[2] / "tokenizers" / "configs" / "qwen_text.yaml"
HOSTILE = [
    "",
    " ",
    "\n\n \n",
    "hello world",
    "<|endoftext|>",
    "a<|im_start|>b<|im_end|>",
    "<|endof<|endoftext|>text|>",
    "<img></img><|extra_0|>",
    "cafe\u0301 \u212b \u1100\u1161",
    "a\x00b\x00",
    "１２３ 123456",
    "中文，标点。\u3000全角",
    "אב \u202eغير\u202c",
    "👩‍👩‍👧‍👦🏽",
    "don't I'LL we'Ve",
    "x = {\n\t'a':  1,\r\n}\r\n",
    "\ufeffbom \ufffd",
    "a" * 3000,
    " " * 2000 + "x",
    "\U0010ffff \ue000",
    "\u2028\u2029\x85",
]


@pytest.fixture(scope="module")
def qwen() -> Vocabulary:
    return load_vocabulary(SPEC)


def test_known_ids_of_qwen(qwen: Vocabulary) -> None:
    """Ids that Qwen2.5's own tokenizer gives."""
    assert qwen.encode("Hello world") == [9707, 1879]
    assert qwen.encode("你好") == [108386]
    assert (qwen.eod, qwen.spec.special["<|im_start|>"], qwen.spec.special["<|im_end|>"]) == (151643, 151644, 151645)
    assert qwen.spec.padded_to % (128 * 8) == 0


def test_encoding_equals_the_package_that_ships_the_ranks(qwen: Vocabulary) -> None:
    from dashscope.tokenizers.qwen_tokenizer import QwenTokenizer

    theirs = QwenTokenizer(str(module.ranks_file(qwen.spec)))
    for text in HOSTILE:
        assert qwen.encode(text) == theirs.encode(text, allowed_special=set(), disallowed_special=()), text[:40]


@given(st.lists(st.one_of(st.text(max_size=40), st.sampled_from(HOSTILE)), max_size=4).map("".join))
def test_any_text_decodes_to_its_normal_form_and_has_no_control_id(text: str) -> None:
    qwen = load_vocabulary(SPEC)
    ids = qwen.encode(text)
    assert all(0 <= i < qwen.spec.ranks for i in ids)
    assert qwen.decode(ids) == qwen.normalise(text) == unicodedata.normalize("NFC", text)
    assert qwen.encode(text, eod=True) == [*ids, qwen.eod]
    assert qwen.encode("e\u0301" + text) == qwen.encode("\u00e9" + text)


def test_lone_surrogates_become_replacement_characters(qwen: Vocabulary) -> None:
    assert qwen.decode(qwen.encode("a\ud800b")) == "a\ufffdb"


def test_special_tokens_decode_by_name_or_are_left_out_and_strange_ids_are_refused(qwen: Vocabulary) -> None:
    ids = [qwen.eod, *qwen.encode("x"), qwen.eod]
    assert qwen.decode(ids) == "<|endoftext|>x<|endoftext|>" and qwen.decode(ids, special=False) == "x"
    with pytest.raises(InputError, match="151999"):
        qwen.decode([151999])


@cache
def tiktoken_of(spec_json: str) -> tiktoken.Encoding:
    ranks = module.read_ranks(module.VocabularySpec.model_validate_json(spec_json))
    return tiktoken.Encoding("peer", pat_str=module.PRE_TOKENS, mergeable_ranks=ranks, special_tokens={})


def peer(spec: module.VocabularySpec) -> tiktoken.Encoding:
    return tiktoken_of(spec.model_dump_json())


ALPHABET = "aAsStTlLvVeEdDm''  \n\r\t.,!01é中文字ſÄ\u0301\u1161\u3000\x85-_𐐀\u16d6\U00016d68"


@given(st.lists(st.one_of(st.text(max_size=30), st.text(ALPHABET, max_size=60), st.sampled_from(HOSTILE)), max_size=5).map("".join))
def test_any_text_has_tiktokens_ids(text: str) -> None:
    qwen = load_vocabulary(SPEC)
    theirs = peer(qwen.spec)
    assert qwen.encode(text) == theirs.encode_ordinary(qwen.normalise(text))


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "ab" * 100_000, "中文" * 60_000, " " * 300_000, "\n" * 100_000 + "x", "9" * 90_000, "?!" * 80_000]
)
def test_a_pre_token_of_any_length_has_tiktokens_ids(qwen: Vocabulary, text: str) -> None:
    assert qwen.encode(text) == peer(qwen.spec).encode_ordinary(text)


def test_ten_megabytes_of_one_letter_are_a_document_like_any_other(qwen: Vocabulary) -> None:
    ids = qwen.encode("a" * 10_000_000)
    assert qwen.decode(ids) == "a" * 10_000_000


def test_a_memory_that_is_emptied_all_the_time_changes_no_id(qwen: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(__file__).read_text(encoding="utf-8") * 2
    ranks, whole = module.read_ranks(qwen.spec), qwen.encode(text)
    for name, size in (("MEMORY_SLOTS", 16), ("MEMORY_TEXT_BYTES", 64), ("MEMORY_IDS", 8), ("CHUNK_BYTES", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(encoder, name, size)
            small = encoder.Encoder(ranks, nfc=True)
            ids, starts = small.encode(["", text, "a", text])
        assert ids[starts[1] : starts[2]].tolist() == ids[starts[3] : starts[4]].tolist() == whole, name
        assert starts.tolist()[:2] == [0, 0]


def test_a_slice_of_a_column_is_encoded_as_it_is_seen(qwen: Vocabulary) -> None:
    column = pa.array(["x y", "cafe\u0301 au lait", "z", "\u1112\u1161"], pa.string())
    ids, starts = qwen.encode_column(pa.chunked_array([column[1:2], column[2:]]), eod=True)
    assert [ids[a:b].tolist() for a, b in itertools.pairwise(starts)] == qwen.encode_batch(column.to_pylist()[1:], eod=True)


def test_hugging_face_files_give_the_same_ids(qwen: Vocabulary, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    write_hf_tokenizer(qwen, tmp_path, context=2048)
    theirs = AutoTokenizer.from_pretrained(str(tmp_path), local_files_only=True)
    assert theirs.eos_token_id == qwen.eod and len(theirs) == qwen.eod + 3 and theirs.model_max_length == 2048
    source = Path(__file__).read_text(encoding="utf-8")
    for text in [*HOSTILE, source, *source.split()]:
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        assert ids == qwen.encode(text), text[:40]
        assert theirs.decode(ids) == qwen.decode(ids)


def test_other_ranks_than_the_specified_are_refused_and_the_digest_is_about_meaning_only() -> None:
    spec = load_spec(SPEC)
    with pytest.raises(ConfigError, match="not the vocabulary 'qwen_text'"):
        vocabulary(spec.model_copy(update={"ranks_digest": "0" * 32}))
    with pytest.raises(ConfigError, match="pip install no-such-package"):
        vocabulary(spec.model_copy(update={"module": "no_such_module_here", "package": "no-such-package"}))
    assert spec.model_copy(update={"version": "9"}).digest() == spec.digest()
    assert spec.model_copy(update={"padded_to": 153600}).digest() != spec.digest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"padded_to": 151936}, "multiple of 1024"),
        ({"special": {"<|endoftext|>": 5}}, "inside the ordinary ids"),
        ({"eod": "<eos>"}, "not a special token"),
    ],
)
def test_an_inconsistent_specification_is_refused(change: dict[str, object], message: str) -> None:
    from headrace_lake.strict import parse

    with pytest.raises(ConfigError, match=message):
        parse({**load_spec(SPEC).model_dump(), **change}, module.VocabularySpec, where="spec")


def test_the_command_line_encodes_decodes_shows_and_exports(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from headrace_tokenizers.text.cli import app

    def call(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--vocabulary", str(SPEC)])
        assert result.exit_code == 0, result.output
        return result.output

    assert call("encode", "Hello world").split() == ["9707", "1879"]
    assert call("decode", "9707", "1879", "151643").strip() == "Hello world<|endoftext|>"
    assert load_spec(SPEC).digest() in call("show")
    assert {Path(line).name for line in call("export", str(tmp_path / "hf")).split()} == {"tokenizer.json", "tokenizer_config.json"}
