"""The MCP server: what it refuses, its allowance, and a whole search through a real client over stdio."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from automl.agents.allowance import FILE, Allowance
from automl.agents.commands import CommandFailed, run
from automl.agents.server import READ, WRITE, Tools
from automl.errors import SpecError
from tests.support.commands import on_one_core

SPEC = """study: flowers
model: mlp
data: iris
metric: val_accuracy
epochs: 3
space: {width: 8, lr: {float: [1e-3, 1e-1], log: true}}
budget: {trials: 4}
finalists: {top: 1, seeds: 2}
"""


FLOWER = {"sepal length (cm)": 5.1, "sepal width (cm)": 3.5, "petal length (cm)": 1.4, "petal width (cm)": 0.2}


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    (tmp_path / "space.yaml").write_text(SPEC)
    return Tools(tmp_path, Path("studies"), Allowance(tmp_path / "studies", 20, 100.0))


def test_an_allowance_is_used_up_once_for_all_sessions(tmp_path: Path) -> None:
    first, second = (Allowance(tmp_path, 10, 60.0) for _ in range(2))
    first.grant(6, 30)
    second.grant(4, 20)
    with pytest.raises(SpecError, match=r"0 runs and 10 s are left of 10 runs"):
        first.grant(1, 1)
    with pytest.raises(SpecError, match="10 s are left"):
        first.grant(0, 11)
    assert second.left().runs == 0
    (tmp_path / FILE).write_text("{")
    with pytest.raises(SpecError, match="damaged"):
        first.left()


def test_what_an_agent_may_not_do_is_refused_before_anything_runs(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "code.yaml").write_text("command: [echo, x]\nmetric: loss\nspace: {x: [1, 2]}\nbudget: {trials: 1}")
    with pytest.raises(SpecError, match="names code"):
        tools.start("code.yaml", trials=1, time_s=5)
    (tmp_path / "mine.py").write_text("def load():\n    raise SystemExit\n")
    with pytest.raises(SpecError, match="names code"):
        tools.plan("space.yaml", set=["data=mine:load"])
    with pytest.raises(SpecError, match="budget is what"):
        tools.start("space.yaml", trials=1, time_s=5, set=["budget.trials=1000"])
    with pytest.raises(SpecError, match="only local and inline"):
        tools.start("space.yaml", trials=1, time_s=5, set=["executor=ray"])
    for outside in ("../x.yaml", "/etc/passwd"):
        with pytest.raises(SpecError, match="outside"):
            tools.validate(outside)
    for name in ("../x", "/tmp", ".."):
        with pytest.raises(SpecError, match="not the name of a study"):
            tools.status(name)
    with pytest.raises(SpecError, match="allowance is not enough: 22 runs"):
        tools.start("space.yaml", trials=20, time_s=5)  # and two runs of a finalist
    with pytest.raises(SpecError, match="allowance is not enough"):
        tools.judge("1", "2", study="flowers", seeds=16)
    assert tools.allowance.left().runs == 20
    assert not (tmp_path / "studies" / "flowers").exists()


def test_arguments_that_look_like_options_are_none(tools: Tools, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as error:
        tools.status("--help")
    assert json.loads(str(error.value))["error"]["code"] == "spec_error"
    assert "flowers" in json.dumps(run("validate", "space.yaml", cwd=tmp_path))


def test_a_command_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(CommandFailed):
        run("doctor", cwd=tmp_path, limit_s=0.05)
    assert time.monotonic() - begun < 20


async def _session(folder: Path, write: bool, calls: Any) -> None:
    from mcp import Client, StdioServerParameters

    words = ["-c", "from automl.cli import main; main()", "mcp", "--runs", "40", "--time", "10m"]
    parameters = StdioServerParameters(
        command=sys.executable, args=[*words, *(["--write"] if write else [])], cwd=str(folder)
    )
    async with Client(parameters) as client:
        await calls(client)


def _document(result: Any) -> dict[str, Any]:
    return dict(json.loads(result.content[0].text))


@pytest.mark.slow
def test_a_whole_search_through_a_client(tmp_path: Path) -> None:
    anyio, _ = pytest.importorskip("anyio"), pytest.importorskip("mcp")
    (tmp_path / "space.yaml").write_text(SPEC)

    async def reads(client: Any) -> None:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == set(READ)
        refused = await client.call_tool("top", {"study": "flowers"})
        assert refused.is_error
        assert _document(refused)["error"]["code"] == "spec_error"

    async def searches(client: Any) -> None:
        async def call(name: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(name, arguments)
            assert not result.is_error, result.content
            return _document(result)

        assert {tool.name for tool in (await client.list_tools()).tools} == {*READ, *WRITE}
        assert (await call("validate", spec="space.yaml"))["ok"]
        begun = await call("start", spec="space.yaml", trials=4, time_s=120)
        assert begun["study"] == "flowers"
        while (state := await call("status", study="flowers"))["state"] == "running":
            await anyio.sleep(1.0)  # each look is a process
        assert (state["state"], state["counts"]["begun"]) == ("ended", 4)
        board = await call("top", study="flowers", rows=2)
        assert len(board["rows"]) == 2
        best = state["best"]["trial"]
        assert (await call("show", study="flowers", trial=best))["trial"] == best
        predicted = await call("predict", study="flowers", rows=[FLOWER])
        assert len(predicted["rows"]) == 1
        other = next(k for k in range(4) if k != best)
        verdict = await call("judge", study="flowers", baseline=str(other), candidate=str(best), seeds=3, time_s=100)
        assert verdict["better"] in (True, False, None)
        assert (await call("stop", study="flowers"))["stopped"] is False
        left = await call("allowance_left")
        assert left["left"]["runs"] == 40 - 4 - 2 - 6
        refused = await client.call_tool("start", {"spec": "space.yaml", "trials": 30, "time_s": 10})
        assert refused.is_error
        assert "allowance is not enough" in _document(refused)["error"]["message"]

    with on_one_core():
        anyio.run(_session, tmp_path, False, reads)
        anyio.run(_session, tmp_path, True, searches)
