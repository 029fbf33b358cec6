"""`automl cluster slurm | ssh | k8s`: the file that starts a Ray cluster there, and with --start the cluster."""

import json as json_module
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from automl.cli import options
from automl.errors import SpecError

option = options.option
app = typer.Typer(
    help="Write, and start, what runs a Ray cluster somewhere.", no_args_is_help=True, rich_markup_mode=None
)

Spec = Annotated[str, typer.Argument(metavar="[SPEC]", help="What to search there; none: only start the cluster.")]
ClusterName = Annotated[str | None, option("--name", help="Of cluster and study (default: the name of SPEC's file).")]
Nodes = Annotated[int, option("--nodes", help="Machines, with the head, which trains too.")]
Cpus = Annotated[int, option("--cpus", help="CPUs of each node.")]
Gpus = Annotated[int, option("--gpus", help="GPUs of each node.")]
Shared = Annotated[str, option("--shared", metavar="DIR", help="The folder that all nodes see; studies go below it.")]
Setup = Annotated[
    list[str] | None, option("--setup", metavar="LINE", help="Shell line run first on each node (repeatable).")
]
Token = Annotated[Path | None, option("--token", help="The file with the token; it is made with mode 600.")]
Start = Annotated[bool, option("--start", help="Start it too.")]
Force = Annotated[bool, option("--force", help="Replace existing files.")]
TimeLimit = Annotated[
    str, option("--time", metavar="DURATION", help="Limit of one run of the job: 12h, 2d, 1-12:00:00.")
]
Partition = Annotated[str, option("--partition", help="Slurm's partition.")]
Account = Annotated[str, option("--account", help="Slurm's account.")]
Sbatch = Annotated[list[str] | None, option("--sbatch", metavar="OPTION", help="Another line #SBATCH (repeatable).")]
Hosts = Annotated[list[str] | None, option("--host", help="A host, the head first (repeatable).")]
User = Annotated[str, option("--user", help="The user on all hosts.")]
Key = Annotated[str, option("--key", metavar="FILE", help="The private key for SSH.")]
Port = Annotated[int, option("--port", min=1, max=65535, help="Of the head.")]
Image = Annotated[str, option("--image", help="A container image with Ray and automl.")]
Claim = Annotated[str, option("--claim", help="The PersistentVolumeClaim that is mounted at --shared.")]
Namespace = Annotated[str, option("--namespace", help="Of Kubernetes.")]
Memory = Annotated[int, option("--memory", min=1, metavar="GIB", help="Memory of each node.")]


@app.command()
def slurm(
    spec: Spec = "", name: ClusterName = None, nodes: Nodes = 2, cpus: Cpus = 4, gpus: Gpus = 0,
    time: TimeLimit = "12h", partition: Partition = "", account: Account = "", sbatch: Sbatch = None,
    shared: Shared = "", setup: Setup = None, token: Token = None, out: options.Out = None,
    start: Start = False, force: Force = False, json: options.Json = False,
) -> None:  # fmt: skip
    """Write an sbatch script: head, workers and search.

    Before its limit, and where Slurm warns of a preemption, the search saves and the job goes back into the queue.
    """
    from automl.executors.clusters import plan as plans
    from automl.executors.clusters import start as starts
    from automl.executors.clusters.slurm import Slurm, script

    plan = plans.Plan(_name(name, spec), nodes, cpus, gpus, _found(spec), shared or str(Path.cwd()), tuple(setup or ()))
    slurms = Slurm(time, partition, account, tuple(sbatch or ()))
    file = out or starts.default_file(plan, "sbatch")
    secret = plans.token_file(str(token or plans.TOKEN))
    starts.write(file, script(plan, slurms, secret), force=force, executable=True)
    _done(file, secret, start, json, lambda: starts.slurm(file), f"sbatch {file}")


@app.command()
def ssh(
    host: Hosts = None, user: User = "", key: Key = "", name: ClusterName = None, cpus: Cpus = 4, gpus: Gpus = 0,
    setup: Setup = None, port: Port = 6379, token: Token = None, out: options.Out = None, start: Start = False,
    force: Force = False, json: options.Json = False,
) -> None:  # fmt: skip
    """Write Ray's cluster file for hosts reached by SSH."""
    from automl.executors.clusters import plan as plans
    from automl.executors.clusters import start as starts
    from automl.executors.clusters.ssh import cluster

    hosts = host or []
    plan = plans.Plan(_name(name, ""), max(len(hosts), 1), cpus, gpus, "", "", tuple(setup or ()), port)
    file = out or starts.default_file(plan, "yaml")
    secret = plans.token_file(str(token or plans.TOKEN))
    starts.write(file, starts.as_yaml(cluster(plan, hosts, user, key, secret)), force=force)
    _done(file, secret, start, json, lambda: starts.ssh(file, secret), f"RAY_AUTH_MODE=token ray up --yes {file}")


@app.command()
def k8s(
    spec: Spec = "", name: ClusterName = None, image: Image = "", nodes: Nodes = 2, cpus: Cpus = 4, gpus: Gpus = 0,
    memory: Memory = 8, shared: Shared = "", claim: Claim = "", namespace: Namespace = "", setup: Setup = None,
    token: Token = None, out: options.Out = None, start: Start = False, force: Force = False,
    json: options.Json = False,
) -> None:  # fmt: skip
    """Write a RayJob for KubeRay (no SPEC: a RayCluster).

    SPEC is a path in the image or below --shared; one that is here is written as an absolute path. The token is a
    Secret, to which the manifest only refers.
    """
    from automl.executors import ray_connect
    from automl.executors.clusters import kubernetes
    from automl.executors.clusters import plan as plans
    from automl.executors.clusters import start as starts

    there = str(Path(spec).absolute()) if spec and Path(spec).is_file() else spec
    plan = plans.Plan(_name(name, spec), nodes, cpus, gpus, there, shared, tuple(setup or ()))
    about = kubernetes.Kubernetes(image, ray_connect.load().__version__, claim, namespace, memory)
    file = out or starts.default_file(plan, "k8s.yaml")
    text = starts.as_yaml(kubernetes.manifest(plan, about))
    secret, named = plans.token_file(str(token or plans.TOKEN)), kubernetes.secret_name(plan)
    starts.write(file, text, force=force)
    where = f" --namespace {namespace}" if namespace else ""
    by_hand = (
        f"kubectl create secret generic {named}{where} --from-file={kubernetes.SECRET_KEY}={secret} && "
        f"kubectl apply -f {file}"
    )
    _done(file, secret, start, json, lambda: starts.kubernetes(file, secret, named, namespace), by_hand)


def _name(name: str | None, spec: str) -> str:
    """The name that is given, else one made of that of the specification."""
    return name or re.sub(r"[^a-z0-9]+", "-", Path(spec).stem.lower()).strip("-") or "automl"


def _found(spec: str) -> str:
    """The specification, which the job will read: its absolute path, or the name of a preset.

    Raises:
        SpecError: there is none.
    """
    from automl.specfile.presets import complete

    if not spec or Path(spec).is_file():
        return str(Path(spec).absolute()) if spec else ""
    if complete(spec) is None:
        raise SpecError(f"{spec}: there is no such file, nor a preset of that name (see `automl spaces`)")
    return spec


def _done(file: Path, token: Path, start: bool, json: bool, begin: Callable[[], str], by_hand: str) -> None:
    """Start it if that is wanted, and say what there is now."""
    said = begin() if start else ""
    if json:
        document = {"schema": 1, "file": str(file), "token": str(token), "started": start, "said": said}
        return typer.echo(json_module.dumps(document, ensure_ascii=False))
    typer.echo(f"{file} (token: {token})")
    return typer.echo(said if start else f"next: {by_hand}")
