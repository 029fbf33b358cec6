"""The oracle of fused trials: what a person would write for one trial, with the lane's own order and masks."""

import numpy as np
import torch
from torch import nn

from automl.fused.tensors import rng

FACTORS = {
    "constant": lambda u: 1.0, "cosine": lambda u: 0.5 * (1 + np.cos(np.pi * u)), "linear": lambda u: 1 - u,
    "wsd": lambda u: min(1.0, (1 - u) / 0.2),
}  # fmt: skip


class Masked(nn.Module):
    """Dropout with a lane's own masks; `step` is set from outside."""

    def __init__(self, p, name, seed):
        super().__init__()
        self.p, self.name, self.seed, self.step = p, name, seed, 0

    def forward(self, x):
        if not self.training or not self.p:
            return x
        limits, scales = rng.thresholds(np.full(1, self.p))
        keys = rng.step_keys([self.seed], [self.step], 1, [self.name])[0, 0]
        out = torch.empty(1, x.numel(), dtype=torch.int32)
        words = rng.table(x.shape, x.device).unsqueeze(0)
        kept = rng.keep_mask(words, keys[0:1], keys[1:2], limits.view(1, 1), scales.view(1, 1), out)
        return x * kept.view(x.shape).to(x.dtype)


def masked(module, seed):
    """The module with `Masked` in the place of every dropout."""
    for name, child in list(module.named_modules()):
        if isinstance(child, nn.Dropout):
            path, _, key = name.rpartition(".")
            setattr(module.get_submodule(path), key, Masked(child.p, name, seed))
    return module


def trained(module, optimizer, config, seed, horizon, epochs, part):
    """`module` after `epochs` of the `horizon` that its schedule reckons with; the optimizer's rates are base rates."""
    loss_of = nn.CrossEntropyLoss(label_smoothing=config.get("label_smoothing", 0.0))
    rates = [group["lr"] for group in optimizer.param_groups]
    batch, step = config["batch_size"], 0
    total = horizon * -(-len(part) // batch)
    warm = round(config.get("warmup", 0.0) * total)
    for epoch in range(epochs):
        order = rng.permutations([seed], [epoch], len(part), "cpu")[0]
        for start in range(0, len(part), batch):
            for child in module.modules():
                if isinstance(child, Masked):
                    child.step = step
            factor = FACTORS[config.get("schedule", "constant")]((step - warm) / max(1, total - warm))
            factor = (step + 1) / warm if step < warm else factor
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimizer.zero_grad()
            chosen = order[start : start + batch]
            loss_of(module(part.x[chosen]), part.y[chosen]).backward()
            if config.get("clip"):
                nn.utils.clip_grad_norm_(module.parameters(), config["clip"])
            optimizer.step()
            step += 1
    return module


def assert_same(state, module, tolerance):
    """`state` has the module's names, shapes and values."""
    plain = module.state_dict()
    assert state.keys() == plain.keys()
    for name, value in plain.items():
        assert state[name].shape == value.shape
        assert (state[name].double() - value.double()).abs().max() < tolerance, name
