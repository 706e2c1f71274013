"""Qwen's text vocabulary: 151,643 byte-level BPE ranks, encoded so that text can never become a control id.

The ranks come from a package that ships them (`dashscope`, Apache-2.0) and are checked against the digest in the
vocabulary's specification, so another version of the package with the same ranks is accepted and one with other
ranks is refused. Text is normalised to NFC before encoding, as Qwen2 and later do. A document that merely contains
`<|endoftext|>` is encoded as ordinary characters: control ids are placed by code, never by data.

Speed: `benchmarks/text/tokenise.py` measures it beside tiktoken and Hugging Face's tokenizers. Loading takes about 1 s once a
process, and some seconds more the first time on a machine, when numba compiles.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import Field, model_validator

from headrace_lake.errors import ConfigError, InputError
from headrace_lake.fingerprint import digest_bytes, digest_of
from headrace_lake.strict import StrictModel, load_yaml

if TYPE_CHECKING:
    from headrace_tokenizers.text.bpe.encoder import Ids, Offsets

PRE_TOKENS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""Pre-token pattern of Qwen, Qwen2 and Qwen3 (their tokenizer.json): contractions, words, single digits, symbols, space."""


class VocabularySpec(StrictModel):
    """A text vocabulary, as declared in `tokenizers/configs/*.yaml`.

    Attributes:
        id: name of the vocabulary.
        package: distribution that ships the ranks; `version` is the one it was read from (informative).
        module, resource: import package and path of the ranks file inside it.
        ranks: number of ordinary tokens; their ids are 0 .. ranks-1.
        ranks_digest: BLAKE2b-128 of the ranks file.
        normalisation: applied to text before encoding.
        special: control tokens and their ids, all >= ranks.
        eod: the control token written after every document.
        padded_to: size of the embedding table; a multiple of 128 x tensor-parallel size for all TP up to 8.
    """

    id: str
    package: str
    version: str
    module: str
    resource: str
    licence: str
    ranks: int = Field(gt=0)
    ranks_digest: str = Field(pattern="^[0-9a-f]{32}$")
    normalisation: str = Field(default="NFC", pattern="^(NFC|none)$")
    special: dict[str, int]
    eod: str
    padded_to: int

    @model_validator(mode="after")
    def _consistent(self) -> VocabularySpec:
        ids = sorted(self.special.values())
        if len(set(ids)) != len(ids):
            raise ValueError("two special tokens share an id")
        if ids and ids[0] < self.ranks:
            raise ValueError(f"special id {ids[0]} lies inside the ordinary ids 0..{self.ranks - 1}")
        if self.eod not in self.special:
            raise ValueError(f"eod '{self.eod}' is not a special token")
        if self.padded_to % (128 * 8) or self.padded_to <= max(ids):
            raise ValueError("padded_to must be a multiple of 1024 (128 x TP 8) above every id")
        return self

    def digest(self) -> str:
        """Digest of everything that decides which id a text gets (not of package, version or licence)."""
        meaning = self.model_dump(include={"ranks", "ranks_digest", "normalisation", "special", "eod", "padded_to"})
        return digest_of({"pre_tokens": PRE_TOKENS, **meaning})


class Vocabulary:
    """Encoder and decoder of one specification; build it with `vocabulary(spec)`. Encoding is for one thread at a time."""

    def __init__(self, spec: VocabularySpec) -> None:
        from headrace_tokenizers.text.bpe.encoder import Encoder

        self.spec = spec
        self.digest = spec.digest()
        self.eod: int = spec.special[spec.eod]
        self._encoder = Encoder(read_ranks(spec), nfc=spec.normalisation == "NFC")
        self._names = {i: name.encode("utf-8") for name, i in spec.special.items()}

    def normalise(self, text: str) -> str:
        """The text as it is encoded: lone surrogates become U+FFFD, then NFC."""
        text = _well_formed(text)
        return unicodedata.normalize("NFC", text) if self.spec.normalisation == "NFC" else text

    def encode(self, text: str, *, eod: bool = False) -> list[int]:
        """Ids of a text; never a control id, except the end-of-document id that `eod` appends."""
        return self.encode_batch([text], eod=eod)[0]

    def encode_batch(self, texts: Sequence[str], *, eod: bool = False) -> list[list[int]]:
        """Ids of each text, in order (see `encode`)."""
        ids, starts = self.encode_column(pa.array([_well_formed(t) for t in texts], pa.large_string()), eod=eod)
        return [ids[a:b].tolist() for a, b in itertools.pairwise(starts)]

    def encode_column(self, texts: pa.Array | pa.ChunkedArray, *, eod: bool = False) -> tuple[Ids, Offsets]:
        """Ids of a column of texts without nulls.

        Returns:
            int32 ids of all texts one after another; int64[n + 1], where each text's begin.
        """
        return self._encoder.encode(texts, tail=self.eod if eod else -1)

    def decode(self, ids: Sequence[int], *, special: bool = True) -> str:
        """Text of the ids; broken UTF-8 at the borders of a cut becomes U+FFFD.

        Args:
            special: write control tokens by name; otherwise leave them out.

        Raises:
            InputError: an id that the vocabulary does not have.
        """
        known = [i for i in ids if special or i < self.spec.ranks]
        for i in known:
            if not 0 <= i < self.spec.ranks and i not in self.spec.special.values():
                raise InputError(f"token id {i} is not in vocabulary '{self.spec.id}'", "check that tokens and vocabulary belong together")
        return b"".join(self._names.get(i) or self._encoder.token_bytes(i) for i in known).decode("utf-8", errors="replace")

    def token_bytes(self) -> list[bytes]:
        """The bytes of every ordinary token, by id."""
        return [self._encoder.token_bytes(i) for i in range(self.spec.ranks)]


def load_spec(path: str | Path) -> VocabularySpec:
    """Read a vocabulary's YAML specification."""
    return load_yaml(path, VocabularySpec)


def load_vocabulary(path: str | Path) -> Vocabulary:
    """The vocabulary of a YAML specification."""
    return vocabulary(load_spec(path))


def vocabulary(spec: VocabularySpec) -> Vocabulary:
    """The vocabulary of a specification; built once a process."""
    return _cached(spec.model_dump_json())


@lru_cache(maxsize=4)
def _cached(spec_json: str) -> Vocabulary:
    return Vocabulary(VocabularySpec.model_validate_json(spec_json))


def ranks_file(spec: VocabularySpec) -> Path:
    """Where the installed package keeps the ranks (the package itself is not imported).

    Raises:
        ConfigError: the package is missing.
    """
    import importlib.util

    found = importlib.util.find_spec(spec.module)
    if found is None or found.origin is None:
        raise ConfigError(f"vocabulary '{spec.id}' needs the package {spec.package}", f"pip install {spec.package}=={spec.version}")
    return Path(found.origin).parent / spec.resource


def read_ranks(spec: VocabularySpec) -> dict[bytes, int]:
    """Token bytes → rank, checked against the specification's digest.

    Raises:
        ConfigError: the file is missing or is not the one that was specified.
    """
    import base64

    file = ranks_file(spec)
    try:
        data = file.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{file.name} of package {spec.package}: {exc.strerror}", f"pip install {spec.package}=={spec.version}") from exc
    if digest_bytes(data) != spec.ranks_digest:
        raise ConfigError(
            f"{spec.package}'s {file.name} is not the vocabulary '{spec.id}' (digest {digest_bytes(data)})",
            f"pip install {spec.package}=={spec.version}",
        )
    ranks: dict[bytes, int] = {}
    for line in data.splitlines():
        token, _, rank = line.partition(b" ")
        ranks[base64.b64decode(token)] = int(rank)
    if len(ranks) != spec.ranks:
        raise ConfigError(f"vocabulary '{spec.id}': {len(ranks)} ranks instead of {spec.ranks}", "correct 'ranks'")
    return ranks


def _well_formed(text: str) -> str:
    """Lone surrogates, for which UTF-8 has no bytes, become U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def describe(spec: VocabularySpec) -> dict[str, Any]:
    """What `headrace tokenizer show` prints."""
    return {**spec.model_dump(), "digest": spec.digest()}
