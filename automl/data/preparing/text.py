"""Text: labelled sentences become padded token sequences; one long text becomes windows for next-token prediction.

Tokens: `word` (words and punctuation marks, lower case), `char`, `byte`, `ids` (token numbers), or for sentences
`ngrams` (words, pairs of neighbours, and pieces of words of 3 to 5 characters). The vocabulary is that of the training
part. In sentences code 0 is padding and 1 an unknown token; in a long text 0 is an unknown token.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.data import splits
from automl.data.prepared import Part, Prepared, fingerprint
from automl.data.shapes import Inputs, Outputs
from automl.errors import DataError, did_you_mean

TOKENS = ("word", "char", "byte", "ids", "ngrams")
SEVERAL = 3.0
"""The least average number of words of a column that is read as text, where none is named."""
PIECES = (3, 4, 5)
"""Characters of a piece of a word, its ends counted."""
MOST_TOKENS = {"ngrams": 1024}
"""Kind of tokens -> the longest window that is chosen for sentences; 256 for others."""
_WORD = re.compile(r"\w+|[^\w\s]")


def split_tokens(text: str, how: str) -> list[str]:
    """Split a text into tokens; `how`: one of `TOKENS`. Bytes are given as the characters of the same number."""
    if how == "word":
        return _WORD.findall(text.lower())
    if how == "ngrams":
        return _ngrams(_WORD.findall(text.lower()))
    if how == "ids":
        return text.split()
    if how == "byte":
        return [chr(b) for b in text.encode("utf-8")]
    return list(text)


def _ngrams(words: list[str]) -> list[str]:
    """Words, then pairs of them, then their pieces, with < and > at the ends of a word (Bojanowski et al. 2017)."""
    pairs = [f"{first} {second}" for first, second in pairwise(words)]
    bounded = [f"<{word}>" for word in words]
    pieces = [word[k : k + size] for word in bounded for size in PIECES for k in range(len(word) - size + 1)]
    return [*words, *pairs, *pieces]


def column_of(frame: pd.DataFrame, chosen: str | None) -> str:
    """The column of a table that holds the texts: the chosen one, the only one, or the only one of several words.

    Used for the training table and for rows to predict alike.

    Raises:
        DataError: there is no such column, or it is not clear which one it is; the message lists them.
    """
    names = [str(name) for name in frame.columns]
    if chosen is not None:
        if chosen not in names:
            raise DataError(f"no column {chosen!r} of texts{did_you_mean(chosen, names)}")
        return chosen
    if len(names) == 1:
        return names[0]
    wordy = [name for name in names if _words_in(frame[name]) >= SEVERAL]
    if len(wordy) != 1:
        some = f"{', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
        raise DataError(
            f"which column holds the texts? {some}; name it with `prepare: {{text: ...}}`, or give that column alone"
        )
    return wordy[0]


def _words_in(values: Any) -> float:
    """How many words the texts of a column have on average; 0 where it holds no texts."""
    texts = [value for value in values.dropna().head(1000) if isinstance(value, str)] if values.ndim == 1 else []
    return float(np.mean([len(text.split()) for text in texts])) if texts else 0.0


def texts_of(frame: pd.DataFrame, column: str) -> NDArray[Any]:
    """[N] the texts of a column; a missing one is empty."""
    values = frame[column]
    if isinstance(values, pd.DataFrame):
        raise DataError(f"the rows have two columns named {column!r}; give each column once")
    return as_texts(values.to_numpy(dtype=object))


def as_texts(values: Iterable[Any]) -> NDArray[Any]:
    """[N] values as texts; missing ones are empty."""
    texts = ["" if value is None or value is pd.NA or value != value else str(value) for value in values]
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array


def fit_sentences(
    train: NDArray[Any], options: Mapping[str, Any], notes: list[str], column: str = ""
) -> dict[str, Any]:
    """Fit the preparation of sentences.

    The vocabulary has the commonest tokens (words: those seen at least twice); the window holds 95 % of the sentences
    whole, between 4 and 256 tokens.

    Args:
        train: [N] texts of the training part.
        options: those of `prepare:`; `tokens`, `max_tokens` and `window` are used.
        notes: gets a line.
        column: of the table that they are from; empty: they are from no table.

    Raises:
        DataError: `tokens` has an unknown value.
    """
    how = _token_kind(options, "word")
    vocabulary = _vocabulary(train, how, int(options.get("max_tokens", 20_000)), 2 if how in ("word", "ngrams") else 1)
    lengths = [len(split_tokens(text, how)) for text in train]
    window = int(options.get("window", max(4, min(MOST_TOKENS.get(how, 256), int(np.percentile(lengths, 95))))))
    notes.append(f"text: {len(vocabulary)} different tokens ({how}), sentences cut to {window}")
    return {
        "version": 1,
        "form": "text",
        "task": "sentences",
        "tokens": how,
        "vocabulary": vocabulary,
        "window": window,
        **({"column": column} if column else {}),
    }


def _token_kind(options: Mapping[str, Any], default: str) -> str:
    how = str(options.get("tokens", default))
    if how not in TOKENS:
        raise DataError(f"prepare.tokens: unknown value {how!r}{did_you_mean(how, TOKENS)}; one of {', '.join(TOKENS)}")
    return how


def _vocabulary(texts: Iterable[str], how: str, most: int, least: int) -> list[str]:
    """The `most` commonest tokens that occur at least `least` times, the commonest first."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split_tokens(text, how))
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [token for token, count in common[:most] if count >= least]


def transform(preparation: Mapping[str, Any], rows: Any, unread: list[str] | None = None) -> Tensor:
    """Sentences (a text, several, or a table) -> [N, window] int64.

    Of a table, the column that the training texts were in is taken, see `column_of`. `unread` gets a few words where
    tokens are not in the vocabulary.
    """
    name = ""
    if isinstance(rows, pd.DataFrame):
        name = column_of(rows, preparation.get("column") if len(rows.columns) > 1 else None)
        texts = texts_of(rows, name)
    else:
        texts = as_texts([rows] if isinstance(rows, str) else _flat(rows))
    window, how, first = preparation["window"], preparation["tokens"], _first_code(preparation)
    code = {token: k + first for k, token in enumerate(preparation["vocabulary"])}
    sequences = np.zeros((len(texts), window), dtype=np.int64)
    count = unknown = 0
    for k, text in enumerate(texts):
        codes = [code.get(token, first - 1) for token in split_tokens(text, how)[:window]]
        sequences[k, : len(codes)] = codes
        count, unknown = count + len(codes), unknown + codes.count(first - 1)
    if unknown and unread is not None and how != "ngrams":  # of those, rare ones are left out on purpose
        unread.append(f"column {name!r}: " * bool(name) + f"{unknown:,} of {count:,} tokens are not in the vocabulary")
    return torch.from_numpy(sequences)


def _flat(rows: Any) -> list[Any]:
    """The first value of each row, where rows are lists; a row of texts is that text."""
    array = np.empty(len(rows), dtype=object)
    array[:] = list(rows)
    return [row if isinstance(row, str) or not np.ndim(row) else np.asarray(row, dtype=object)[0] for row in array]


def inputs_of(preparation: Mapping[str, Any]) -> Inputs:
    """The layout of what `transform` returns."""
    vocabulary = len(preparation["vocabulary"]) + _first_code(preparation)
    return Inputs((preparation["window"],), "tokens", vocabulary)


def _first_code(preparation: Mapping[str, Any]) -> int:
    """The code of the first token of the vocabulary: behind padding and unknown, or behind unknown alone."""
    return 2 if preparation["task"] == "sentences" else 1


def load_language(text: Any, split: Mapping[str, Any], options: Mapping[str, Any], name: str) -> Prepared:
    """Cut one long text into windows, for predicting at each place the token that follows.

    x and y: [N, window] int64; y is x shifted by one token. The parts are consecutive in the text.

    Args:
        text: the text, or [tokens] of token numbers.
        split: shares of the tokens.
        options: those of `prepare:`; `tokens`, `max_tokens`, `window` (default 64) and `stride` (default `window`, the
            distance between the beginnings of windows) are used.
        name: of the text, for messages.

    Raises:
        DataError: the text is too short for a window, or `tokens` has an unknown value.
    """
    ids = not isinstance(text, str)
    how = "ids" if ids else _token_kind(options, "char")
    if how == "ngrams":
        raise DataError("prepare.tokens: ngrams are for sentences; for a text to be continued take char, word or byte")
    window = int(options.get("window", 64))
    tokens: Any = np.asarray(text) if ids else split_tokens(text, how)
    edges = np.round(np.concatenate([[0.0], np.cumsum(splits.shares(split))]) * len(tokens)).astype(int)
    if min(np.diff(edges)[:2]) < window + 1:
        raise DataError(f"data: {name}: {len(tokens)} tokens are too few for windows of {window}")
    vocabulary = _known_tokens(tokens[: edges[1]], int(options.get("max_tokens", 50_000)), ids)
    code = {token: k + 1 for k, token in enumerate(vocabulary)}
    codes = np.array([code.get(str(token), 0) for token in tokens], dtype=np.int64)
    parts = [_windows(codes[a:b], window, int(options.get("stride", window))) for a, b in pairwise(edges)]
    preparation = {
        "version": 1, "form": "text", "task": "next_token", "tokens": how, "vocabulary": vocabulary, "window": window,
        "target": {"name": "next token", "kind": "next_token"},
    }  # fmt: skip
    inputs = inputs_of(preparation)
    unseen = int((codes[edges[1] :] == 0).sum())
    notes = [
        f"{name}: {len(tokens)} tokens ({how}), {len(vocabulary)} different; "
        f"{unseen} tokens of validation and test do not occur in training"
    ]
    join = " " if how in ("word", "ids") else ""
    sample = [join.join(str(t) for t in tokens[edges[1] : edges[1] + window])]
    return Prepared(
        inputs, Outputs(int(inputs.vocabulary or 0), "tokens"), "next_token", parts[0], parts[1], parts[2],
        ["\x00unknown", *vocabulary], [], preparation, fingerprint(parts), notes, sample,
    )  # fmt: skip


def _known_tokens(train: Any, most: int, ids: bool) -> list[str]:
    """The different tokens of the training part, sorted; the `most` commonest where there are more."""
    known = [str(t) for t in sorted(set(train.tolist()))] if ids else sorted(set(train))
    if len(known) > most:
        counts = Counter(str(t) for t in train)
        known = sorted(token for token, _ in counts.most_common(most))
    return known


def _windows(codes: NDArray[np.int64], window: int, stride: int) -> Part:
    if len(codes) <= window:
        return Part(torch.empty(0, window, dtype=torch.int64), torch.empty(0, window, dtype=torch.int64))
    rows = np.lib.stride_tricks.sliding_window_view(codes, window + 1)[::stride]
    return Part(torch.from_numpy(rows[:, :-1].copy()), torch.from_numpy(rows[:, 1:].copy()))
