"""`automl.search` has torch imported elsewhere before it imports anything that takes long itself."""

import subprocess
import sys


def test_nothing_heavy_is_imported_before_the_fork_server_begins() -> None:
    code = "import sys, automl; automl.search; automl.resume; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "automl.executors.forkserver" in found
    assert not {"numpy", "torch", "pandas", "automl.study.study", "automl.api.prepared"} & set(found)
