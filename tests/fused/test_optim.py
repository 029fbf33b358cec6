"""Row kernels against torch.optim, 50 steps, three lanes with different hyperparameters."""

import numpy as np
import pytest
import torch

from automl.errors import SpecError
from automl.training.hyperparameters import OPTIMIZERS, SCHEDULES, read
from automl.training.rules import RULES, clip_rows, rule
from automl.training.schedules import SHAPES, lr_factors, warmup_steps

LANES = [
    {"lr": 1e-2, "weight_decay": 0.1, "momentum": 0.9, "beta1": 0.9, "beta2": 0.99},
    {"lr": 3e-3, "weight_decay": 0.0, "momentum": 0.0, "beta1": 0.8, "beta2": 0.999, "eps": 1e-6},
    {"lr": 1e-1, "weight_decay": 1e-3, "momentum": 0.5, "beta1": 0.95, "beta2": 0.9, "nesterov": True},
]


def torch_optimizer(name, p, h):
    betas = (h.beta1, h.beta2)
    plain = {"lr": h.lr, "weight_decay": h.weight_decay}
    if name == "sgd":
        return torch.optim.SGD([p], momentum=h.momentum, nesterov=h.nesterov, **plain)
    if name == "adafactor":
        return torch.optim.Adafactor([p], **plain)
    if name == "rmsprop":
        return torch.optim.RMSprop([p], alpha=h.beta2, eps=h.eps, momentum=h.momentum, **plain)
    if name == "nadam":
        return torch.optim.NAdam([p], betas=betas, eps=h.eps, decoupled_weight_decay=True, **plain)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    return kind([p], betas=betas, eps=h.eps, **plain)


class Lion(torch.optim.Optimizer):
    """As published: c = b1 m + (1 - b1) g; p -= lr (sign(c) + wd p); m = b2 m + (1 - b2) g."""

    def __init__(self, p, h):
        super().__init__([p], {})
        self.h, self.m = h, torch.zeros_like(p)

    def step(self):
        (p,) = self.param_groups[0]["params"]
        direction = (self.h.beta1 * self.m + (1 - self.h.beta1) * p.grad).sign()
        p.data = p.data - self.h.lr * (direction + self.h.weight_decay * p.data)
        self.m = self.h.beta2 * self.m + (1 - self.h.beta2) * p.grad


class Muon(torch.optim.Optimizer):
    """torch's Muon with `match_rms_adamw`, without rounding to bfloat16."""

    def __init__(self, p, h):
        super().__init__([p], {})
        self.h, self.m = h, torch.zeros_like(p)

    def step(self):
        (p,) = self.param_groups[0]["params"]
        h, mu = self.h, self.h.momentum
        self.m = mu * self.m + (1 - mu) * p.grad
        x = mu * self.m + (1 - mu) * p.grad if h.nesterov else self.m
        x = x.T if len(x) > x.shape[1] else x
        x = x / x.norm()
        for _ in range(5):
            gram = x @ x.T
            x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
        x = x if x.shape == p.shape else x.T
        p.data = p.data * (1 - h.lr * h.weight_decay) - h.lr * 0.2 * max(p.shape) ** 0.5 * x


OURS = {"lion": Lion, "muon": Muon}


def expected(name, h, start, target):
    p = start.clone().requires_grad_()
    optimizer = OURS[name](p, h) if name in OURS else torch_optimizer(name, p, h)
    for _ in range(50):
        p.grad = None
        ((p - target) ** 4).sum().backward()
        optimizer.step()
    return p.detach()


@pytest.fixture(scope="module")
def problem():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 40, generator=generator, dtype=torch.float64) * 0.3, torch.zeros(3, 40, dtype=torch.float64)


def grad(p, target):
    return 4 * (p - target) ** 3


@pytest.mark.parametrize(
    ("name", "shape"),
    [*((name, (40,)) for name in sorted({*RULES} - {"muon"})), ("adafactor", (8, 5)), ("adafactor", (2, 4, 5)),
     ("adafactor", (1, 40)), ("muon", (8, 5)), ("muon", (5, 8)), ("muon", (1, 40))],
)  # fmt: skip
def test_rows_equal_torch_optim(name, shape, problem):
    start, target = (part.view(3, *shape) for part in problem)
    slower = 0.1 if name == "muon" else 1.0  # its steps multiply rounding errors of small singular values
    lanes = [read({**lane, "lr": lane["lr"] * slower, "optimizer": name}) for lane in LANES]
    rule, p = RULES[name], start.clone()
    state = {n: torch.zeros_like(p) for n in rule.states}
    rates = np.tile([h.lr for h in lanes], (50, 1))
    tables = rule.tables(lanes, rates, np.tile(np.arange(1.0, 51.0)[:, None], 3))
    scratch = torch.empty_like(p)
    for s in range(50):
        now = {n: torch.from_numpy(np.array(t[s])).unsqueeze(1) for n, t in tables.items()}
        rule.update(p, grad(p, target), state, now, scratch)
    for k, h in enumerate(lanes):
        assert (p[k] - expected(name, h, start[k], target[k])).abs().max() < 1e-6, f"lane {k}"


@pytest.mark.parametrize("name", [n for n, rule in RULES.items() if rule.native])
def test_native_kernels_equal_torch_optim(name, problem):
    start, target = problem
    lanes = [read({**lane, "optimizer": name}) for lane in LANES]
    rule, p = RULES[name], start.clone()
    state = {n: torch.zeros_like(p) for n in rule.states}
    for s in range(50):
        g = grad(p, target)
        for k, h in enumerate(lanes):
            rows = {n: [v[k]] for n, v in state.items()}
            rule.native([p[k]], [g[k]], rows, torch.tensor(float(s + 1)), h, h.lr)
    for k, h in enumerate(lanes):
        assert (p[k] - expected(name, h, start[k], target[k])).abs().max() < 1e-6, f"lane {k}"


def test_clipping_is_per_lane_and_equals_torch():
    g = torch.randn(3, 50)
    wanted = []
    for k, limit in enumerate((0.5, 100.0, 2.0)):
        p = torch.nn.Parameter(torch.zeros(50))
        p.grad = g[k].clone()
        torch.nn.utils.clip_grad_norm_([p], limit)
        wanted.append(p.grad)
    clip_rows(g, torch.tensor([0.5, 100.0, 2.0]))
    assert torch.allclose(g, torch.stack(wanted), atol=1e-7)


def test_schedules_continue_where_they_were_cut():
    for kind in ("constant", "cosine", "linear", "step", "wsd"):
        whole = lr_factors(kind, 0, 100, 100, 10)
        parts = np.concatenate([lr_factors(kind, 0, 37, 100, 10), lr_factors(kind, 37, 63, 100, 10)])
        assert np.array_equal(whole, parts)
        assert whole[9] == 1.0
        assert whole[0] == pytest.approx(0.1)
        assert whole.max() <= 1.0


def test_cosine_matches_torch_scheduler():
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    rates = []
    for _ in range(50):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert np.allclose(lr_factors("cosine", 0, 50, 50, 0), rates)


def test_warmup_is_a_share_or_a_number_of_epochs():
    assert warmup_steps(0.1, 200, 20) == 20
    assert warmup_steps(2, 200, 20) == 20
    assert warmup_steps(50, 200, 20) == 200


@pytest.mark.parametrize(
    ("config", "words"),
    [({"optimizer": "adamm"}, "did you mean 'adam'"), ({"schedule": "cosin"}, "did you mean 'cosine'"),
     ({"lr": -1}, "lr must be at least 0"),
     ({"ema": 1.0}, "ema"), ({"beta2": 1.0}, "beta2")],
)  # fmt: skip
def test_bad_training_values_are_told(config, words):
    with pytest.raises(SpecError, match=words):
        rule(read(config).optimizer)


def test_names_that_are_known_without_torch_are_those_there_are():
    assert sorted(OPTIMIZERS) == sorted(RULES)
    assert sorted(SCHEDULES) == sorted(SHAPES)
