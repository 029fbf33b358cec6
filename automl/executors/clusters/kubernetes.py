"""Kubernetes: a RayJob (or a RayCluster, without a search) for KubeRay; the token is a Secret that it refers to."""

import shlex
from dataclasses import dataclass
from typing import Any

from automl.errors import SpecError
from automl.executors.clusters.plan import Plan

GRACE_S = 120
SECRET_KEY = "auth_token"  # the name by which KubeRay finds it in the Secret


@dataclass(frozen=True)
class Kubernetes:
    """What only Kubernetes is told.

    Args:
        image: with Python, Ray and automl, of the same versions as wherever the search runs.
        ray_version: of the image.
        claim: a PersistentVolumeClaim that many nodes may write (ReadWriteMany), mounted at `Plan.shared`.
        namespace: empty: that of kubectl.
        memory_gib: of each node.
    """

    image: str
    ray_version: str
    claim: str = ""
    namespace: str = ""
    memory_gib: int = 8


def secret_name(plan: Plan) -> str:
    """The Secret with the token."""
    return f"{plan.name}-token"


def manifest(plan: Plan, kubernetes: Kubernetes) -> dict[str, Any]:
    """The RayJob or RayCluster.

    Raises:
        SpecError: the image is missing, or a claim without a folder to mount it at (or the other way round).
    """
    if not kubernetes.image:
        raise SpecError("give --image, with Ray and automl of these versions in it")
    if bool(kubernetes.claim) != bool(plan.shared):
        raise SpecError("--claim and --shared go together: the volume that all nodes write, and where it is mounted")
    name = {"name": plan.name} | ({"namespace": kubernetes.namespace} if kubernetes.namespace else {})
    cluster: dict[str, Any] = {
        "rayVersion": kubernetes.ray_version,
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": str(plan.cpus), "include-dashboard": "true"},
            "template": _pod(plan, kubernetes, "ray-head"),
        },
    }
    if plan.nodes > 1:
        cluster["workerGroupSpecs"] = [
            {
                "groupName": "workers",
                "replicas": plan.nodes - 1,
                "minReplicas": 0,
                "maxReplicas": plan.nodes - 1,
                "rayStartParams": {"num-cpus": str(plan.cpus)},
                "template": _pod(plan, kubernetes, "ray-worker"),
            }
        ]
    if not plan.spec:
        return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": name, "spec": cluster}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": name,
        "spec": {
            "entrypoint": _search(plan),
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 600,
            "backoffLimit": 2,
            "rayClusterSpec": cluster,
            "submitterPodTemplate": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "ray-job-submitter", "image": kubernetes.image, "env": _environment(plan)}],
                }
            },
        },
    }


def _search(plan: Plan) -> str:
    """The search, or its continuation where an earlier head has begun it."""
    either = f"if [ -e {shlex.quote(plan.ledger)} ]; then {plan.resume} --trust; else {plan.search}; fi"
    commands = " && ".join((*plan.setup, either))
    return f"bash -c {shlex.quote(commands)}"


def _environment(plan: Plan) -> list[dict[str, Any]]:
    secret = {"secretKeyRef": {"name": secret_name(plan), "key": SECRET_KEY}}
    return [
        {"name": "RAY_AUTH_MODE", "value": "token"},
        {"name": "RAY_AUTH_TOKEN", "valueFrom": secret},
        {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"},
    ]


def _pod(plan: Plan, kubernetes: Kubernetes, container: str) -> dict[str, Any]:
    """A pod of Ray; before a worker's pod is ended it drains, and its trials are saved."""
    size: dict[str, str] = {"cpu": str(plan.cpus), "memory": f"{kubernetes.memory_gib}Gi"}
    size |= {"nvidia.com/gpu": str(plan.gpus)} if plan.gpus else {}
    main: dict[str, Any] = {
        "name": container,
        "image": kubernetes.image,
        "env": _environment(plan),
        "resources": {"requests": dict(size), "limits": size},
    }
    pod: dict[str, Any] = {"containers": [main], "terminationGracePeriodSeconds": GRACE_S}
    if container == "ray-worker":
        drain = f"python -m automl.executors.clusters.drain --seconds {GRACE_S - 10}; sleep {GRACE_S // 2}"
        main["lifecycle"] = {"preStop": {"exec": {"command": ["bash", "-c", drain]}}}
    if kubernetes.claim:
        main["volumeMounts"] = [{"name": "shared", "mountPath": plan.shared}]
        pod["volumes"] = [{"name": "shared", "persistentVolumeClaim": {"claimName": kubernetes.claim}}]
    return {"spec": pod}
