"""Text: sentences with labels become padded token sequences; one long text becomes windows for next-token prediction.

Tokens: `word` (words and punctuation marks, lower case), `char`, `byte`, or `ids` (whole numbers, already tokenized).
The vocabulary is that of the training part. In sentences 0 is padding and 1 unknown; in a long text 0 is unknown.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.data import splits
from automl.data.prepared import Part, Prepared, fingerprint
from automl.data.shapes import Inputs, Outputs
from automl.errors import DataError, did_you_mean

TOKENS = ("word", "char", "byte", "ids")
_WORD = re.compile(r"\w+|[^\w\s]")


def split_tokens(text: str, how: str) -> list[str]:
    """The tokens of `text` as strings."""
    if how == "word":
        return _WORD.findall(text.lower())
    if how == "ids":
        return text.split()
    if how == "byte":
        return [chr(b) for b in text.encode("utf-8")]
    return list(text)


def _how(options: Mapping[str, Any], default: str) -> str:
    how = str(options.get("tokens", default))
    if how not in TOKENS:
        raise DataError(f"prepare.tokens: unknown value {how!r}{did_you_mean(how, TOKENS)}; one of {', '.join(TOKENS)}")
    return how


def _vocabulary(texts: Iterable[str], how: str, most: int, least: int) -> list[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split_tokens(text, how))
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [token for token, count in common[:most] if count >= least]


def fit_sentences(train: NDArray[Any], options: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The preparation of sentences: vocabulary of tokens seen at least twice, length that holds 95 % of them whole."""
    how = _how(options, "word")
    vocabulary = _vocabulary(train, how, int(options.get("max_tokens", 20_000)), 2 if how == "word" else 1)
    lengths = [len(split_tokens(text, how)) for text in train]
    window = int(options.get("window", max(4, min(256, int(np.percentile(lengths, 95))))))
    notes.append(f"text: {len(vocabulary)} different tokens ({how}), sentences cut to {window}")
    return {
        "version": 1,
        "form": "text",
        "task": "sentences",
        "tokens": how,
        "vocabulary": vocabulary,
        "window": window,
    }


def transform(preparation: Mapping[str, Any], rows: Any) -> Tensor:
    """Sentences (strings, or a one-column table) -> [N, window] int64. One string counts as one sentence."""
    if hasattr(rows, "to_numpy"):
        rows = rows.to_numpy()
    rows = [rows] if isinstance(rows, str) else list(np.asarray(rows, dtype=object).reshape(len(rows), -1)[:, 0])
    window, how = preparation["window"], preparation["tokens"]
    first = 2 if preparation["task"] == "sentences" else 1
    code = {token: k + first for k, token in enumerate(preparation["vocabulary"])}
    made = np.zeros((len(rows), window), dtype=np.int64)
    for k, text in enumerate(rows):
        codes = [code.get(token, first - 1) for token in split_tokens(str(text), how)[:window]]
        made[k, : len(codes)] = codes
    return torch.from_numpy(made)


def inputs_of(preparation: Mapping[str, Any]) -> Inputs:
    first = 2 if preparation["task"] == "sentences" else 1
    return Inputs((preparation["window"],), "tokens", len(preparation["vocabulary"]) + first)


def load_language(text: Any, split: Mapping[str, Any], options: Mapping[str, Any], name: str) -> Prepared:
    """One long text (or a vector of token ids) -> windows of `window` tokens and the tokens that follow them.

    The parts are consecutive stretches of the text. `stride` (default: `window`) is the distance between windows.
    """
    ids = not isinstance(text, str)
    how = "ids" if ids else _how(options, "char")
    window = int(options.get("window", 64))
    tokens: Any = np.asarray(text) if ids else split_tokens(text, how)
    edges = np.round(np.concatenate([[0.0], np.cumsum(splits.shares(split))]) * len(tokens)).astype(int)
    if min(np.diff(edges)[:2]) < window + 1:
        raise DataError(f"data: {name}: {len(tokens)} tokens are too few for windows of {window}")
    known = [str(t) for t in sorted(set(tokens[: edges[1]].tolist()))] if ids else sorted(set(tokens[: edges[1]]))
    most = int(options.get("max_tokens", 50_000))
    if len(known) > most:
        counts = Counter(str(t) for t in tokens[: edges[1]])
        known = sorted(token for token, _ in counts.most_common(most))
    code = {token: k + 1 for k, token in enumerate(known)}
    codes = np.array([code.get(str(token), 0) for token in tokens], dtype=np.int64)
    stride = int(options.get("stride", window))
    parts = [_windows(codes[a:b], window, stride) for a, b in pairwise(edges)]
    preparation = {
        "version": 1, "form": "text", "task": "next_token", "tokens": how, "vocabulary": known, "window": window,
        "target": {"name": "next token", "kind": "next_token"},
    }  # fmt: skip
    inputs = inputs_of(preparation)
    unseen = int((codes[edges[1] :] == 0).sum())
    notes = [
        f"{name}: {len(tokens)} tokens ({how}), {len(known)} different, {unseen} outside training never seen in it"
    ]
    join = " " if how in ("word", "ids") else ""
    sample = [join.join(str(t) for t in tokens[edges[1] : edges[1] + window])]
    return Prepared(
        inputs, Outputs(int(inputs.vocabulary or 0), "tokens"), "next_token", parts[0], parts[1], parts[2],
        ["\x00unknown", *known], [], preparation, fingerprint(parts), notes, sample,
    )  # fmt: skip


def _windows(codes: NDArray[np.int64], window: int, stride: int) -> Part:
    if len(codes) <= window:
        return Part(torch.empty(0, window, dtype=torch.int64), torch.empty(0, window, dtype=torch.int64))
    rows = np.lib.stride_tricks.sliding_window_view(codes, window + 1)[::stride]
    return Part(torch.from_numpy(rows[:, :-1].copy()), torch.from_numpy(rows[:, 1:].copy()))
