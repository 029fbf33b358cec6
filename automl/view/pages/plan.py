"""What a specification will do: for people (`text`) and for programs (`document`)."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automl.leaderboard import words
from automl.specfile.rules.steps import named

if TYPE_CHECKING:
    from automl.specfile import Spec


def document(spec: "Spec") -> dict[str, Any]:
    """The resolved specification in a few facts, for programs; `configs` is None where there are infinitely many."""
    size = math.prod(p.size for p in spec.space.params.values())
    return {
        "study": spec.name,
        "metric": {"name": spec.metric.name, "direction": spec.metric.direction},
        "parameters": list(spec.space.names),
        "configs": size if math.isfinite(size) else None,
        "strategy": dict(spec.strategy),
        "stopper": dict(spec.stopper),
        "budget": {"trials": spec.plan.trials, f"{spec.plan.unit}s": spec.plan.steps, "seconds": spec.plan.time_s},
        "epochs": spec.epochs,
        **({"steps": dict(spec.steps)} if spec.steps else {}),
        "seed": spec.seed,
    }


def text(spec: "Spec") -> str:
    """The resolved specification for people: study, task, metric, budget, strategy, space."""
    configs = document(spec)["configs"]
    task = spec.model or spec.train or " ".join(spec.command or ())
    task += f" on {spec.data}" if spec.data else ""
    length = f", full trials of {words.plural(spec.plan.horizon, spec.plan.unit)}" if spec.plan.horizon else ""
    length += f" of {named(spec.steps)}" if spec.steps else ""
    limits = [words.plural(spec.plan.trials, "trial")] if spec.plan.trials else []
    limits += [words.plural(spec.plan.steps, spec.plan.unit)] if spec.plan.steps else []
    limits += [words.duration(spec.plan.time_s)] if spec.plan.time_s else []
    many = "infinitely many configs" if configs is None else words.plural(int(configs), "config")
    rows = spec.steps.get("val_rows")
    measured = f", each step on {rows:,} validation rows" if rows else ""
    aim = "higher" if spec.metric.direction == "maximize" else "lower"
    lines = [
        f"study     {words.clean(spec.name)}, seed {spec.seed}",
        f"task      {words.clean(task)}{length}",
        f"metric    {words.clean(spec.metric.name)}, {aim} is better{measured}",
        f"budget    {' or '.join(limits)}{', whichever is reached first' if len(limits) > 1 else ''}",
        f"strategy  {_plugin(spec.strategy)}, stopper {_plugin(spec.stopper)}",
        f"space     {words.plural(spec.space.dim, 'parameter')}, {many}",
    ]
    return "\n".join(lines + [f"          {words.clean(line)}" for line in str(spec.space).splitlines()])


def _plugin(described: Mapping[str, Any]) -> str:
    """`asha (eta 3)`."""
    options = ", ".join(f"{name} {value}" for name, value in described.items() if name != "name")
    return str(described.get("name", "")) + (f" ({options})" if options else "")
