"""SSH: Ray's own cluster file, for `ray up`; the token is copied to each host, with its mode."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from automl.errors import SpecError
from automl.executors.clusters.plan import TOKEN, Plan

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:_-]*[A-Za-z0-9])?")


def cluster(plan: Plan, hosts: Sequence[str], user: str, key: str, token: Path) -> dict[str, Any]:
    """The content of the cluster file.

    Args:
        hosts: the head first.
        user: on all hosts.
        key: a file with a private key; empty: what ssh finds.

    Raises:
        SpecError: there is no host, or one is named twice or is no name.
    """
    if not hosts:
        raise SpecError("give at least one --host; the first one is the head")
    for host in hosts:
        if not HOST.fullmatch(host):
            raise SpecError(f"--host takes a name or an address, got {host!r}")
    if len(set(hosts)) < len(hosts):
        raise SpecError("each --host may be named once")
    if not user:
        raise SpecError("give --user, the name on all hosts")
    begin = "export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0"
    start = f"{begin}; ray start {plan.resources()} --disable-usage-stats"
    auth = {"ssh_user": user} | ({"ssh_private_key": key} if key else {})
    setup = list(plan.setup)
    prefix = "".join(f"{line} && " for line in setup)
    return {
        "cluster_name": plan.name,
        "max_workers": len(hosts) - 1,
        "provider": {"type": "local", "head_ip": hosts[0], "worker_ips": list(hosts[1:])},
        "auth": auth,
        "file_mounts": {TOKEN: str(token)},
        "initialization_commands": [],
        "setup_commands": [f"chmod 600 {TOKEN}"],
        "head_start_ray_commands": [
            f"{prefix}ray stop",
            f"{prefix}{start} --head --port={plan.port} --include-dashboard=false "
            "--autoscaling-config=~/ray_bootstrap_config.yaml",
        ],
        "worker_start_ray_commands": [f"{prefix}ray stop", f"{prefix}{start} --address=$RAY_HEAD_IP:{plan.port}"],
    }
