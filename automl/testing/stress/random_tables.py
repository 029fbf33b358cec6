"""Random tables as people have them: written numbers, dates, codes, words and gaps, and the ways to write them down."""

import bz2
import datetime
import gzip
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Cells = list[str]
Make = Callable[[random.Random, int], Cells]
GAPS = ("", "NA", "n/a", "?", "-", "null", "None", "nan", "#N/A", " ")
NAMES = (
    "größe",
    "Preis (€)",
    "日付",
    "naïve",
    "a b",
    "x",
    "Id nr",
    "col.1",
    "ÄÖ",
    "temp °C",
    "q&a",
    "x_2",
    "100%",
    "y,z",
)


def _numbers(write: Callable[[float], str], spread: float = 1e3) -> Make:
    return lambda rng, rows: [write(rng.gauss(0, spread) if rng.random() < 0.8 else 0.0) for _ in range(rows)]


def _european(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def _currency(rng: random.Random, rows: int) -> Cells:
    before, after = rng.choice((("$", ""), ("€ ", ""), ("", " EUR"), ("CHF ", ""), ("", "€"), ("£", "")))
    return [f"{'-' if v < 0 else ''}{before}{abs(v):,.2f}{after}" for v in (rng.gauss(50, 900) for _ in range(rows))]


def _units(rng: random.Random, rows: int) -> Cells:
    unit = rng.choice((" kg", "kg", " m²", "°C", " km/h", "%", " %", " ms"))
    return [f"{rng.gauss(20, 9):.{rng.choice((1, 2))}f}{unit if rng.random() < 0.97 else ''}" for _ in range(rows)]


def _spaced(rng: random.Random, rows: int) -> Cells:
    space = rng.choice(("\u00a0", "\u202f", " ", "'"))
    return [f"{rng.randrange(10**6):,}".replace(",", space) for _ in range(rows)]


def _minus(rng: random.Random, rows: int) -> Cells:
    return [f"{rng.gauss(0, 5):.2f}".replace("-", rng.choice(("\u2212", "-"))) for _ in range(rows)]


def _dates(rng: random.Random, rows: int) -> Cells:
    form = rng.choice(
        ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y", "%d.%m.%Y", "%d %B %Y", "%b %d, %Y", "%Y/%m/%d", "%Y-%m",
         "%b %Y", "%m/%Y", "%G-W%V", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%d/%m/%Y %H:%M",
         "%Y-%m-%d %H:%M:%S.%f", "%m/%d/%Y %I:%M %p")
    )  # fmt: skip
    most_days = rng.choice((5, 300, 20_000))  # few days: perhaps no date shows which is day and which month
    first = datetime.datetime(rng.choice((1971, 2001, 2021)), rng.randint(1, 12), rng.randint(1, 12))
    moments = [first + datetime.timedelta(days=rng.uniform(0, most_days)) for _ in range(rows)]
    return [moment.strftime(form) for moment in moments]


def _clocks(rng: random.Random, rows: int) -> Cells:
    form = rng.choice(
        ("{h:02d}:{m:02d}", "{h}:{m:02d}", "{h:02d}:{m:02d}:{s:02d}", "{g}:{m:02d} {half}", "{long}:{m:02d}")
    )
    cells = []
    for _ in range(rows):
        h, m, s = rng.randrange(24), rng.randrange(60), rng.randrange(60)
        cells.append(form.format(h=h, m=m, s=s, g=h % 12 or 12, half="am" if h < 12 else "pm", long=rng.randrange(90)))
    return cells


def _fractions(rng: random.Random, rows: int) -> Cells:
    mark = rng.choice("/:-")
    return [f"{rng.randint(1, 12):02d}{mark}{rng.randint(1, 12):02d}" for _ in range(rows)]


def _codes(rng: random.Random, rows: int) -> Cells:
    width, many = rng.choice((2, 3, 5)), rng.choice((4, 12, 90))
    codes = [f"{k * 7 % 10**width:0{width}d}" for k in range(many)] + (["A1"] if rng.random() < 0.3 else [])
    return [rng.choice(codes) for _ in range(rows)]


def _words(rng: random.Random, rows: int) -> Cells:
    words = rng.choice(
        (("red", "Red", "blue ", " blue", "GREEN"), ("yes", "no", "yes "), ("ä", "ö\u00a0x", "ß"), ("1", "2", "drei"),
         ("1.0", "2.0", "x"), ("true", "false"), ("True", "False", "?"), ("a;b", "a|b", "a\tb", 'a"b', "a,b"),
         ("0", "1"), ("1", "1.0", "01", "x"), ("007", "7", "b"), ("=1+1", "#x", "@y"), ("NaN ", "nan", "none", "z"))
    )  # fmt: skip
    return [rng.choice(words) for _ in range(rows)]


def _several_units(rng: random.Random, rows: int) -> Cells:
    units = rng.choice((("", "K", "M"), (" kg", " g"), (" KB", " MB", " GB"), (" min", " h"), ("-", "")))
    return [f"{rng.uniform(1, 900):.1f}{rng.choice(units)}" for _ in range(rows)]


def _durations(rng: random.Random, rows: int) -> Cells:
    spans = [datetime.timedelta(seconds=rng.randrange(10**6)) for _ in range(rows)]
    if rng.random() < 0.5:
        return [str(pd.Timedelta(span)) for span in spans]
    return [f"{span.seconds // 3600}h {span.seconds // 60 % 60}m" for span in spans]


def _days_of_digits(rng: random.Random, rows: int) -> Cells:
    form = rng.choice(("%Y%m%d", "%Y%m%d%H%M%S", "%d%b%Y", "%d/%b/%Y:%H:%M:%S", "%a %b %d %H:%M:%S %Y"))
    first = datetime.datetime(2019, 5, 17)
    return [(first + datetime.timedelta(minutes=rng.randrange(10**6))).strftime(form) for _ in range(rows)]


def _nearly_constant(rng: random.Random, rows: int) -> Cells:
    usual, rare = rng.choice((("0", "1"), ("1,5", "2,5"), ("x", "y"), ("2021-01-01", "2021-01-02"), ("0.0", "")))
    return [rare if rng.random() < 0.03 or k == 0 else usual for k in range(rows)]


def _mixed(rng: random.Random, rows: int) -> Cells:
    pieces = ("1", "2.5", "1,5", "x", "2021-05-06", "8:15", "1e5", "True", "0x1f", "$3", "1 234", "5%", "05-12", "inf")
    return [rng.choice(pieces) for _ in range(rows)]


def _percents(rng: random.Random, rows: int) -> Cells:
    values = [rng.uniform(0, 1) for _ in range(rows)]
    return [f"{100 * value:.1f}%" if rng.random() < 0.7 else f"{value:.3f}" for value in values]


def _exponents(rng: random.Random, rows: int) -> Cells:
    return [f"{rng.randrange(9)}E{rng.randrange(5)}" for _ in range(rows)]


KINDS: dict[str, Make] = {
    "plain": _numbers(lambda v: f"{v:.5g}"), "whole": lambda rng, rows: [str(rng.randrange(40)) for _ in range(rows)],
    "large": _numbers(lambda v: f"{v:e}", 1e30), "counter": lambda rng, rows: [str(k) for k in range(rows)],
    "thousands": _numbers(lambda v: f"{v:,.0f}", 1e5), "european": _numbers(_european, 1e5),
    "comma": _numbers(lambda v: f"{v:.3f}".replace(".", ",")), "currency": _currency, "units": _units,
    "spaced": _spaced, "minus": _minus, "dates": _dates, "clocks": _clocks, "fractions": _fractions, "codes": _codes,
    "several units": _several_units, "durations": _durations, "days of digits": _days_of_digits,
    "words": _words, "nearly constant": _nearly_constant, "mixed": _mixed,
    "percents": _percents, "exponents": _exponents,
    "points": _numbers(lambda v: f"{abs(v) + 1:.3f}", 9.0),
    "brackets": _numbers(lambda v: f"({-v:.2f})" if v < 0 else f"{v:.2f}"),
}  # fmt: skip
"""What the cells of a column may be."""


def table(rng: random.Random, rows: int, most: int = 8) -> dict[str, Cells]:
    """Columns of text, one of them `target`; some have gaps, typing mistakes or cells of another column's kind."""
    columns: dict[str, Cells] = {}
    for name in rng.sample(NAMES, rng.randint(1, most)):
        cells = rng.choice(list(KINDS.values()))(rng, rows)
        gap, share = rng.choice(GAPS), rng.choice((0, 0, 0.02, 0.3))
        cells = [gap if rng.random() < share else cell for cell in cells]
        if rng.random() < 0.15:
            other = rng.choice(list(KINDS.values()))(rng, rows)
            cells = [odd if rng.random() < 0.02 else cell for odd, cell in zip(other, cells, strict=True)]
        columns[name] = cells
    columns["target"] = [rng.choice(("yes", "no")) for _ in range(rows)]
    return columns


def _csv(frame: pd.DataFrame, separator: str, encoding: str) -> bytes:
    return frame.to_csv(index=False, sep=separator).encode(encoding)


def _in_turn(*files: bytes) -> bytes:
    """The header of the first of two files, and their further lines in turn."""
    lines = zip(*(file.split(b"\n") for file in files), strict=True)
    return b"\n".join(pair[k % 2] for k, pair in enumerate(lines))


def _parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream, index=False)
    return stream.getvalue()


FILES: dict[str, Callable[[pd.DataFrame], bytes]] = {
    "plain.csv": lambda f: _csv(f, ",", "utf-8"), "semicolon.csv": lambda f: _csv(f, ";", "utf-8"),
    "tab.tsv": lambda f: _csv(f, "\t", "utf-8"), "bar.csv": lambda f: _csv(f, "|", "utf-8"),
    "mark.CSV": lambda f: _csv(f, ",", "utf-8-sig"), "utf16.csv": lambda f: _csv(f, ",", "utf-16"),
    "lines.csv": lambda f: _in_turn(_csv(f, ",", "utf-8"), _csv(f, ",", "cp1252")),
    "windows.csv": lambda f: _csv(f, ";", "cp1252"), "latin.csv": lambda f: _csv(f, ",", "latin-1"),
    "packed.csv.gz": lambda f: gzip.compress(_csv(f, ",", "utf-8")),
    "bz2.csv": lambda f: bz2.compress(_csv(f, ",", "utf-8")),
    "sep.csv": lambda f: b"sep=;\r\n" + _csv(f, ";", "utf-8"),
    "quoted.csv": lambda f: f.to_csv(index=False, quoting=1).encode(),
    "comment.csv": lambda f: b"# from here\n" + _csv(f, ",", "utf-8"),
    "windows-lines.csv": lambda f: f.to_csv(index=False, lineterminator="\r\n").encode(), "cells.parquet": _parquet,
}  # fmt: skip
"""How a table can be written into a file: name of the file -> its bytes. A UnicodeEncodeError: it cannot."""


def _arrow(frame: pd.DataFrame) -> Any:
    import pyarrow

    return pyarrow.Table.from_pandas(frame, preserve_index=False)


OBJECTS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "frame": lambda f: f, "index": lambda f: f.set_axis(np.full(len(f), 7)), "objects": lambda f: f.astype(object),
    "text": lambda f: f.astype("string"), "arrow text": lambda f: f.convert_dtypes(dtype_backend="pyarrow"),
    "categories": lambda f: f.astype("category"), "nullable": lambda f: f.convert_dtypes(),
    "dicts": lambda f: f.to_dict("records"), "dict of lists": lambda f: f.to_dict("list"),
    "dict of arrays": lambda f: {name: f[name].to_numpy() for name in f}, "arrow table": _arrow,
    "reversed columns": lambda f: f[list(f.columns)[::-1]],
}  # fmt: skip
"""How a table of text can be given by a program."""


def write(frame: pd.DataFrame, name: str, folder: Path) -> Path | None:
    """Write a table as `FILES` says; None: it has characters that the encoding lacks."""
    try:
        content = FILES[name](frame)
    except UnicodeEncodeError:
        return None
    (folder / name).write_bytes(content)
    return folder / name
