"""`automl search`: the fields of `--json`, `--no-finalists`, the winner's network in other formats."""

import json
from pathlib import Path

import pytest

from automl.cli import main

SPEC = """
model: mlp
data: iris
metric: val_accuracy
epochs: 2
space: {width: {int: [4, 16]}, lr: {float: [1e-3, 1e-1], log: true}}
stopper: none
budget: {trials: 4}
finalists: {top: 2, seeds: 2}
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0), capsys.readouterr().out


@pytest.mark.slow
def test_json_has_finalists_test_and_optimism(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("space.yaml").write_text(SPEC)
    code, out = run(capsys, "search", "space.yaml", "--executor", "inline", "--json", "--name", "with")
    told = json.loads(out)
    assert code == 0
    assert [f["seeds"] for f in told["finalists"]] == [2, 2]
    first = told["finalists"][0]
    assert first["interval"][0] <= first["mean"] <= first["interval"][1]
    assert told["best"]["trial"] == first["trial"]
    assert told["optimism"] == pytest.approx(told["best"]["value"] - first["mean"])
    code, out = run(capsys, "show", "with", str(first["trial"]))
    assert out.splitlines()[0].endswith("(the winner)")
    assert "retrained on 2 fresh seeds: " in out
    low, high = told["test"]["interval"]
    assert 0 <= low <= told["test"]["value"] <= high <= 1
    assert told["test"]["looks"] == 1

    code, out = run(
        capsys, "search", "space.yaml", "--executor", "inline", "--json", "--no-finalists", "--name", "bare"
    )
    told = json.loads(out)
    assert code == 0
    assert told["finalists"] is told["test"] is told["optimism"] is None
    assert not Path("studies/bare/finalists").exists()

    code, out = run(capsys, "export", "with", "--pt2", "model.pt2")
    assert code == 0
    assert Path("model.pt2").is_file()
    assert "outputs differ by at most" in out
