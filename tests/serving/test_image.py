"""`automl export --docker`: the folder has all that its server needs, and nothing runs with rights."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from automl.errors import EnvironmentProblem
from automl.serving import image
from automl.serving.security.keys import Keys
from tests.support.patience import PATIENCE_S, free_port

LINES = re.compile(r"^(FROM|ARG|ENV|WORKDIR|COPY|RUN|USER|VOLUME|EXPOSE|HEALTHCHECK|ENTRYPOINT|CMD) (.+)$")


def instructions(folder: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, continued lines joined."""
    text = (folder / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [LINES.match(line) for line in lines]
    assert all(found), lines
    return [(one[1], one[2]) for one in found if one is not None]


def with_dependencies(distributions: list[str]) -> set[str]:
    """These distributions and all that they need, by their normalized names; as far as they are installed."""
    found: set[str] = set()
    while distributions:
        one = re.sub(r"[-_.]+", "-", distributions.pop()).lower()
        if one not in found:
            found.add(one)
            try:
                needed = metadata.requires(one) or []
            except metadata.PackageNotFoundError:
                continue
            distributions += [r.name for r in map(Requirement, needed)
                              if r.marker is None or r.marker.evaluate({"extra": ""})]  # fmt: skip
    return found


@pytest.fixture
def folder(bundles: dict[str, Path], tmp_path: Path) -> Path:
    image.write(bundles["flowers"], tmp_path / "image", "Flowers 2")
    return tmp_path / "image"


def test_the_dockerfile_gives_no_rights_and_looks_after_the_server(folder: Path) -> None:
    found = instructions(folder)
    names = [name for name, _ in found]
    assert names[0] == "FROM"
    assert dict(found)["USER"] == "automl"
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert not [text for name, text in found[names.index("USER") :] if name in ("RUN", "COPY")]
    check = json.loads(dict(found)["HEALTHCHECK"].partition("CMD")[2])
    compile(check[2], "health check", "exec")
    for name, text in found:
        if name == "COPY":
            assert (folder / text.split()[0]).exists()
    assert json.loads(dict(found)["CMD"]) == ["flowers-2=model", "--host", "0.0.0.0"]
    assert "http" not in re.sub(r"http://127\.0\.0\.1\S+", "", (folder / "Dockerfile").read_text())


def test_a_folder_with_something_in_it_is_left_alone(bundles: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(EnvironmentProblem, match="has something in it"):
        image.write(bundles["flowers"], tmp_path, "flowers")


@pytest.mark.slow
def test_its_command_serves_with_the_packages_of_the_folder_alone(folder: Path, tmp_path: Path) -> None:
    """The image's own command and health check, run here: nothing else can be tried without a container engine."""
    found = dict(instructions(folder))
    state = tmp_path / "state"
    state.mkdir()
    key = Keys(state / "keys.json").new(("predict", "read"), "")
    entry = [word.replace("/state", str(state)) for word in json.loads(found["ENTRYPOINT"])][1:]
    pinned = [line.partition("==")[0] for line in (folder / "requirements.txt").read_text().splitlines()]
    installed, homes = with_dependencies(pinned), metadata.packages_distributions()
    others = [name for name, of in homes.items()
              if name != "automl" and not {re.sub(r"[-_.]+", "-", one).lower() for one in of} & installed]  # fmt: skip
    assert {"sklearn", "ray"} <= set(others)
    hidden = f"import sys; sys.modules.update(dict.fromkeys({others!r}, None)); "  # to import one of them is an error
    entry[1] = hidden + entry[1]
    port = str(free_port())
    command = [sys.executable, *entry, *json.loads(found["CMD"]), "--port", port]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder / "package"), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, cwd=folder, env=environment)
    try:
        check = json.loads(found["HEALTHCHECK"].partition("CMD")[2])[2].replace("8000", port)
        for _ in range(1500):
            if subprocess.run([sys.executable, "-c", check], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.2)
        body = json.dumps({"rows": [{"size": 5.0, "age": 3, "colour": "red", "day": "2021-03-01", "constant": "x"}]})
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/predict", body.encode(), {
            "Authorization": f"Bearer {key}", "Content-Type": "application/json"})  # fmt: skip
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            assert json.load(answer)["model"] == "flowers-2"
    finally:
        server.terminate()
        server.wait(60)
