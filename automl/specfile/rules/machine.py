"""What the specification needs of the machine that runs it: GPUs."""

from collections.abc import Mapping
from typing import Any

from automl.specfile.yaml.complaint import Path
from automl.specfile.yaml.places import Places


def check(tree: Mapping[str, Any], gpus: int, places: Places) -> None:
    """Complain about GPUs that this machine does not have. Nothing is known of the machines of a Ray cluster.

    Args:
        tree: the whole specification as plain data.
        gpus: how many this process may use.
        places: takes complaints and warnings.
    """
    executor = tree.get("executor")
    described = executor if isinstance(executor, dict) else {"name": executor}
    if described.get("name") == "ray":
        return
    here = f"this machine has {gpus or 'none'}"
    path, wanted = _wanted(tree, described)
    if wanted > 1 and wanted != int(wanted):
        places.complain(path, f"needs a whole number of GPUs, or a share of one (0.5), got {wanted:g}")
    elif wanted > max(gpus, 1):
        rule = f"a trial needs {wanted:g} GPUs, and {here}"
        places.complain(path, f"{rule}; remove it, ask for fewer, or run on a machine that has them")
    elif wanted > 0 and not gpus:
        places.warn(path, f"a trial asks for a GPU, and {here}: trials run on the CPU")
    if tree.get("precision") == "fp16" and not gpus and "model" in tree:
        places.complain(("precision",), f"fp16 needs a GPU, and {here}; on a CPU take fp32, bf16 or auto")


def _wanted(tree: Mapping[str, Any], executor: Mapping[str, Any]) -> tuple[Path, float]:
    """(path, number) of the GPUs that a trial needs; 0: nothing is said."""
    resources = tree.get("resources")
    entries = {"executor": executor, "resources": resources if isinstance(resources, dict) else {}}
    for key, entry in entries.items():
        number = entry.get("gpus")
        if isinstance(number, int | float) and not isinstance(number, bool):
            return (key, "gpus"), number
    return ("resources",), 0
