"""Tells Ray that this node will be taken away: `python -m automl.executors.clusters.drain --seconds 120`.

Where clouds, Slurm or Kubernetes warn a node before they take it, this is what to run there. The search then saves the
node's trials at their next report and goes on with them elsewhere.
"""

import argparse
import os
import subprocess
import sys

from automl.errors import EnvironmentProblem
from automl.executors.ray_connect import last_line


def drain(address: str, node: str, seconds: int) -> None:
    """Tell the cluster at `address` that `node` (Ray's id; empty: this one) is taken away in so many seconds.

    Raises:
        EnvironmentProblem: Ray refuses that.
    """
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", address]
    command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "the node is taken away"]
    command += ["--deadline-remaining-seconds", str(seconds), "--node-id", node or _here(address)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentProblem(f"the node cannot be drained: {last_line(done)}")


def _here(address: str) -> str:
    """Ray's id of this node."""
    import ray

    ray.init(address=address, log_to_driver=False, configure_logging=False)
    try:
        return str(ray.get_runtime_context().get_node_id())
    finally:
        ray.shutdown()


def main() -> int:
    """Tell Ray that a node will be taken away, see `--help`. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Tell Ray that this node will be taken away.")
    parser.add_argument("--address", default=os.environ.get("RAY_ADDRESS", "auto"), help="of the cluster")
    parser.add_argument("--node", default=os.environ.get("RAY_NODE_ID", ""), help="Ray's id of the node")
    parser.add_argument("--seconds", type=int, default=120, help="until it is gone")
    given = parser.parse_args()
    try:
        drain(given.address, given.node, given.seconds)
    except EnvironmentProblem as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
