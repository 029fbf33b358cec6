"""A search in the background: begin, look, stop, and mistakes that are told at once."""

import json
from pathlib import Path

import pytest

from tests.support.patience import wait_until

SPEC = """study: steady
command: [sh, -c, 'for k in 1 2 3 4 5 6 7 8 9; do echo "{{\\"step\\": $k, \\"loss\\": {x}}}"; sleep 0.3; done']
metric: loss
epochs: 9
space: {x: {float: [0, 1]}}
budget: {trials: 40}
finalists: none
"""


def test_mistakes_are_told_before_anything_is_left_behind(run, tmp_path):
    assert run("start", "nothing.yaml")[0] == 2
    (tmp_path / "space.yaml").write_text("metric: loss\n")
    assert run("start", "space.yaml")[0] == 2
    assert not (tmp_path / "studies").exists()
    assert run("status", "nothing")[0] == 2
    assert run("stop", "nothing")[0] == 2


@pytest.mark.slow
def test_a_search_goes_on_without_its_terminal_until_it_is_stopped(run, tmp_path):
    (tmp_path / "space.yaml").write_text(SPEC)
    code, out, err = run("start", "space.yaml", "--workers", "1", "--json")
    assert code == 0, err
    begun = json.loads(out)

    def status():
        return json.loads(run("status", "steady", "--json")[1])

    wait_until(lambda: status()["counts"]["begun"] > 0, "no trial begins", every_s=0.1)
    state = status()
    assert (state["state"], state["pid"], state["budget"]["trials"]) == ("running", begun["pid"], 40)
    stopped = json.loads(run("stop", "steady", "--json")[1])
    assert (stopped["stopped"], stopped["pid"]) == (True, begun["pid"])
    after = json.loads(run("status", "steady", "--json")[1])
    assert (after["state"], after["pid"]) == ("incomplete", None)
    assert json.loads(run("stop", "steady", "--json")[1])["stopped"] is False
    assert "everything is saved" in Path(begun["log"]).read_text()
