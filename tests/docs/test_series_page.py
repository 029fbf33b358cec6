"""The page on series: its specification is valid."""

import re
from pathlib import Path

import pandas as pd
import pytest

from automl.cli import main
from tests.support.paths import DOCS


def test_the_specification_of_the_page_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    page = (DOCS / "series.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("space.yaml").write_text(text)
    days = pd.date_range("2024-01-01", periods=400).astype(str)
    pd.DataFrame({"day": days, "shop": "Bonn", "sales": range(400)}).to_csv("sales.csv", index=False)
    with pytest.raises(SystemExit) as ended:
        main(["validate", "space.yaml"])
    assert (ended.value.code or 0) == 0, capsys.readouterr()
