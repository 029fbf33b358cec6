"""Which keys exist under which options of config groups: `model.depth` only where `model=tree`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.core.parameters import Choice, Value
from automl.core.space import Space
from automl.errors import SpecError, did_you_mean
from automl.sweeping.overrides import Swept

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig


def conditional(swept: Swept, loader: "ConfigLoader", master: "DictConfig") -> Swept:
    """The same with conditions: what some options of a swept config group lack is searched under the others only.

    Conditions that the user has given stay as they are.

    Raises:
        SpecError: a job's config cannot be composed, or a key is unknown; the message is Hydra's, with a near name.
    """
    groups = {name: p for name, p in swept.space.params.items() if isinstance(p, Choice) and _group(name, loader)}
    first = {name: p.choices[0] for name, p in groups.items()}
    conditions: dict[str, dict[str, tuple[Value, ...]]] = {}
    for group, p in groups.items():
        configs = {option: compose(swept, {**first, group: option}, loader, master) for option in p.choices}
        for name in swept.space.params:
            with_it = tuple(option for option, config in configs.items() if _has(config, name))
            if name not in groups and swept.keys.get(name, name) == name and 0 < len(with_it) < len(configs):
                conditions.setdefault(name, {})[group] = with_it
    params = {
        name: replace(p, when=conditions[name]) if name in conditions and not p.when else p
        for name, p in swept.space.params.items()
    }
    found = replace(swept, space=Space(params, swept.space.constants))
    compose(found, found.space.sample(np.random.default_rng(0)), loader, master)
    return found


def compose(swept: Swept, config: Mapping[str, Value], loader: "ConfigLoader", master: "DictConfig") -> "DictConfig":
    """The config of the job with these values.

    Raises:
        SpecError: Hydra refuses it.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        return loader.load_sweep_config(master, swept.overrides(config))
    except (HydraException, OmegaConfBaseException) as error:
        raise SpecError(f"{_message(error)}{_near(config, master)}") from None


def _message(error: Exception) -> str:
    cause = error.__cause__
    text = str(error) if cause is None or str(cause) in str(error) else f"{error} {cause}"
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def _near(config: Mapping[str, Value], master: "DictConfig") -> str:
    known = [key for key in _keys(master, "") if not key.startswith("hydra")]
    unknown = [name for name in config if name not in known and "@" not in name]
    return next((hint for name in unknown if (hint := did_you_mean(name, known))), "")


def _keys(node: Any, above: str) -> list[str]:
    from omegaconf import DictConfig

    found = []
    for key in node:
        found.append(f"{above}{key}")
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            found += _keys(child, f"{above}{key}.")
    return found


def _group(name: str, loader: "ConfigLoader") -> bool:
    return bool(loader.get_group_options(name.split("@")[0]))


def _has(config: "DictConfig", name: str) -> bool:
    """Whether the config has this key, be its value null or missing."""
    from omegaconf import DictConfig, ListConfig, OmegaConf

    above, _, last = name.rpartition(".")
    node = OmegaConf.select(config, above, throw_on_missing=False) if above else config
    if isinstance(node, DictConfig):
        return last in node.keys()  # noqa: SIM118  (`in` the config itself is false for missing values)
    return isinstance(node, ListConfig) and last.isdigit() and int(last) < len(node)
