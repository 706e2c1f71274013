"""TF-IDF and logistic regression, read from the ONNX file that skl2onnx writes, and computed with numpy.

Why not ONNX Runtime: the graph's StringNormalizer asks for the system locale `en_US.UTF-8`, which images lack, and fails without.
An ONNX file is a protocol buffer; the three tensors that matter are read from it, and nothing in it is run.

The graph is: lower case, words by a regular expression, counts times inverse document frequency, divided by their Euclidean
length, a linear layer, softmax. Any other graph is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_lake.errors import InputError

LIMIT = 256 << 20
"""Bytes of a file, at most."""
_WAY_OUT = "only TF-IDF of single words with logistic regression is read; use kind: transformer for other models"


@dataclass(frozen=True)
class Linear:
    """The model; `weights` is float64[words, classes], `bias` float64[classes]."""

    words: dict[str, int]
    token: re.Pattern[str]
    idf: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Probabilities, float64[texts, classes]."""
        out = np.tile(self.bias, (len(texts), 1))
        for row, text in enumerate(texts):
            counts = Counter(self.words[w] for w in self.token.findall(text.lower()) if w in self.words)
            if counts:
                places = np.fromiter(counts, np.int64, len(counts))
                values = np.fromiter(counts.values(), np.float64, len(counts)) * self.idf[places]
                out[row] += (values / np.sqrt(values @ values)) @ self.weights[places]
        odds = np.exp(out - out.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def read_onnx(data: bytes, *, where: str) -> Linear:
    """The model in the bytes of an ONNX file.

    Raises:
        InputError: it is no such file, or another graph.
    """
    if len(data) > LIMIT:
        raise InputError(f"{where}: larger than {LIMIT >> 20} MiB", _WAY_OUT)
    try:
        graph = next(v for f, v in _fields(data) if f == 7)
        nodes = {_text(node, 4): _attributes(node) for f, node in _fields(graph) if f == 1}
        constants = {_text(t, 8): _floats(t, 4) for f, t in _fields(graph) if f == 5}
        tfidf, classifier, tokens = nodes["TfIdfVectorizer"], nodes["LinearClassifier"], nodes["Tokenizer"]
        vocabulary = [v.decode("utf-8") for f, v in _fields(tfidf["pool_strings"]) if f == 9]
        order = _integers(tfidf["ngram_indexes"], 8)
        token = re.compile(_text(tokens["tokenexp"], 4))
        bias = _floats(classifier["intercepts"], 7)
        weights = _floats(classifier["coefficients"], 7).reshape(len(bias), -1).T
        idf = next(c for c in constants.values() if len(c) == len(vocabulary))
    except (KeyError, StopIteration, IndexError, ValueError, re.error) as exc:
        raise InputError(f"{where}: not a graph that can be read: {type(exc).__name__} {exc}", _WAY_OUT) from exc
    if len(weights) != len(idf) or sorted(order) != list(range(len(idf))):
        raise InputError(f"{where}: {len(vocabulary)} words, {len(idf)} frequencies, {len(weights)} weights", _WAY_OUT)
    return Linear({w: order[i] for i, w in enumerate(vocabulary)}, token, idf, weights, bias)


# -- protocol buffers, as far as ONNX needs them (protobuf.dev/programming-guides/encoding) ---------------------------------


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of a message: int for varints, bytes for the rest."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(data):
            raise ValueError("cut off")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("varint of more than ten bytes")


def _text(message: bytes, number: int) -> str:
    return str(next((v for f, v in _fields(message) if f == number), b"").decode("utf-8"))


def _attributes(node: bytes) -> dict[str, bytes]:
    """Attributes of a node (field 5), by name."""
    return {_text(a, 1): a for f, a in _fields(node) if f == 5}


def _floats(message: bytes, number: int) -> npt.NDArray[np.float64]:
    """Float32s of a field, packed or one by one; raw_data (9) of a tensor that has none."""
    joined = b"".join(v for f, v in _fields(message) if f == number)
    if not joined and number == 4:
        joined = next((v for f, v in _fields(message) if f == 9), b"")
    return np.frombuffer(joined[: len(joined) // 4 * 4], "<f4").astype(np.float64)


def _integers(message: bytes, number: int) -> list[int]:
    found: list[int] = []
    for f, v in _fields(message):
        if f != number:
            continue
        if isinstance(v, int):
            found.append(v)
            continue
        at = 0
        while at < len(v):
            value, at = _varint(v, at)
            found.append(value)
    return found
