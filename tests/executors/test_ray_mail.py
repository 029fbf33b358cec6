"""The mailbox between driver and workers, and who may be connected to: no Ray is needed for these."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from automl import specfile
from automl.api.from_spec import placed
from automl.cli.commands.search import _changes
from automl.core.messages import Assign, Ended, Event, Outcome, Ready, Shutdown
from automl.errors import SpecError
from automl.executors import ray_connect
from automl.executors.ray_actors import Mailbox
from automl.executors.ray_cluster import RayCluster
from tests.support.patience import PATIENCE_S


def said(letters: list[Any]) -> list[Event]:
    return [event for _, _, event in letters]


def test_one_turn_takes_what_all_workers_said_and_gives_all_answers() -> None:
    async def play() -> None:
        box = Mailbox()
        waits = [asyncio.create_task(box.exchange(k, 1, [Ready(k)], True)) for k in range(50)]
        await asyncio.sleep(0)
        assert said(await box.turn([], {}, 1.0)) == [Ready(k) for k in range(50)]
        assert await box.turn([(k, 1, Assign(())) for k in range(50)], {}, 0.0) == []
        assert await asyncio.gather(*waits) == [Assign(())] * 50

    asyncio.run(play())


def test_an_answer_may_come_before_its_question() -> None:
    async def play() -> None:
        box = Mailbox()
        await box.exchange(0, 1, [Ready(0)], False)
        await box.turn([(0, 1, Shutdown())], {}, 0.0)
        assert await box.exchange(0, 1, [Ready(0)], True) == Shutdown()

    asyncio.run(play())


def test_an_older_life_is_not_heard_and_told_to_end() -> None:
    ended = Ended(0, 7, 1, Outcome.FINISHED)

    async def play() -> None:
        box = Mailbox()
        old = asyncio.create_task(box.exchange(0, 1, [ended, Ready(0)], True))
        await asyncio.sleep(0)
        assert await box.turn([], {0: 2}, 0.0) == [], "what it said is dropped"
        assert await old is None
        assert await box.exchange(0, 1, [ended], True) is None
        assert await box.turn([(0, 1, Assign(()))], {}, 0.0) == []
        new = asyncio.create_task(box.exchange(0, 2, [Ready(0)], True))
        await asyncio.sleep(0)
        assert said(await box.turn([(0, 2, Assign(()))], {}, 1.0)) == [Ready(0)]
        assert await new == Assign(()), "the answer to the old life did not reach the new one"

    asyncio.run(play())


def test_a_new_life_may_speak_before_the_driver_tells_of_it() -> None:
    async def play() -> None:
        box = Mailbox()
        await box.exchange(3, 2, [Ready(3)], False)
        assert await box.exchange(3, 1, [Ready(3)], True) is None
        assert said(await box.turn([], {3: 2}, 0.0)) == [Ready(3)]

    asyncio.run(play())


def test_waiting_for_letters_ends_with_the_first() -> None:
    async def play() -> None:
        box = Mailbox()
        turn = asyncio.create_task(box.turn([], {}, 2 * PATIENCE_S))
        await asyncio.sleep(0.01)
        await box.exchange(0, 1, [Ready(0)], False)
        assert said(await asyncio.wait_for(turn, PATIENCE_S)) == [Ready(0)]

    asyncio.run(play())


@pytest.mark.parametrize("address", ["", "local"])
def test_a_ray_of_our_own_is_not_asked_whether_it_is_open(address: str) -> None:
    assert not ray_connect.existing(address)


@pytest.mark.parametrize(
    "address",
    ["auto", "127.0.0.1:6379", "localhost:6379", "ray://[::1]:10001", "203.0.113.7:6379", "head.example:6379"],
)
def test_any_other_is_also_on_this_machine(address: str) -> None:
    assert ray_connect.existing(address)


ASKED = """
import os
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
from automl.executors import ray_connect
import subprocess
from types import SimpleNamespace

def run(command, env, **_):
    assert not any(key.startswith("RAY_AUTH_TOKEN") for key in env) and env["RAY_AUTH_MODE"] == "disabled"
    return SimpleNamespace(returncode=0, stdout="", stderr="")

subprocess.run = run
print(ray_connect.open_to_all("10.0.0.1:6379"), ray_connect.open_to_all("ray://10.0.0.1:10001"))
"""


def test_a_cluster_is_asked_without_the_token_whatever_the_environment_promises() -> None:
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


def test_without_ray_the_way_to_install_it_is_told() -> None:
    code = (
        "import sys\nsys.modules['ray'] = None\nfrom automl.executors.ray_cluster import RayCluster\n"
        "from automl.errors import EnvironmentProblem\n"
        "try:\n    RayCluster().start(None, 1, None)\n"
        "except EnvironmentProblem as error:\n    print(error.exit_code, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("5 ")
    assert "pip install 'automl-search[ray]'" in done.stdout


@pytest.mark.parametrize(("option", "value"), [("gpus", -1), ("gpus", 1.5), ("cpus", -1)])
def test_impossible_shares_are_refused(option: str, value: float) -> None:
    with pytest.raises(SpecError, match=option):
        RayCluster(**{option: value})


def test_naming_the_executor_loads_no_ray() -> None:
    code = "import sys, automl.executors.ray_cluster as r; r.RayCluster(); sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_trial_needs_reaches_the_executor_and_what_cannot_is_told() -> None:
    resources = {"gpus": 2.0, "cpus": 4.0}
    assert placed("ray", resources) == ({"name": "ray", **resources}, "")
    given = {"name": "ray", "gpus": 0.5}
    assert placed(given, resources) == ({"name": "ray", "gpus": 0.5, "cpus": 4.0}, "")
    note = "resources: executor 'local' does not use cpus"
    assert placed("local", resources) == ({"name": "local", "gpus": 2.0}, note)


def test_command_line_names_cluster_and_options() -> None:
    changes = _changes({}, no_fuse=False, no_finalists=False, ray="head:6379", insecure_ray=True)
    read = specfile.read("digits", overrides=changes)
    assert read.executor == {"name": "ray", "address": "head:6379", "insecure": True}
