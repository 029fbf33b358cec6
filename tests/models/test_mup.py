import pytest
import torch
from torch import nn

from automl.data import Inputs, Outputs, load
from automl.errors import SpecError
from automl.models import build, families, mup
from automl.training import Trainer
from automl.training.mup_check import alignment_check, coordinate_check


@pytest.fixture(scope="module")
def digits():
    return load("digits", seed=0)


WORDS = Inputs((9,), "tokens", 20)
SHAPES = {
    "mlp": Inputs(16),
    "sparse_mlp": Inputs(16),
    "convnet": Inputs((1, 8, 8)),
    "transformer": WORDS,
    "lstm": WORDS,
}


@pytest.mark.parametrize("family", list(SHAPES))
def test_every_parameter_of_every_family_has_a_role(family):
    config = {"width": 256, "depth": 2, "base_width": 64, "parametrization": "mup"}
    roles = mup.roles(build(family), config, SHAPES[family], Outputs(3))
    kinds = {role.kind for role in roles.values()}
    assert {"hidden", "input", "output"} <= kinds
    outputs = [name for name, role in roles.items() if role.kind == "output"]
    model = build(family)(config, SHAPES[family], Outputs(3))
    last = [name for name, p in model.named_parameters() if p.ndim == 2 and p.shape[0] == 3]
    assert outputs == last
    assert all(roles[name].m == pytest.approx(4, rel=0.05) for name in outputs)
    assert all(role.m >= 1 for role in roles.values())


def test_an_embedding_is_an_input_although_it_looks_like_an_output():
    roles = mup.roles(build("transformer"), {"width": 128}, SHAPES["transformer"], Outputs(20, "tokens"))
    assert roles["embed.weight"].kind == "input"
    assert roles["head.weight"].kind == "output"


def own(config, inputs, outputs):
    return nn.Sequential(
        nn.Linear(inputs, config["width"]), nn.ReLU(), nn.Linear(config["width"], config["width"]), nn.ReLU(),
        nn.Linear(config["width"], outputs),
    )  # fmt: skip


def test_a_users_own_model_gets_the_table_of_the_paper():
    found = mup.roles(own, {"width": 256}, Inputs(9), Outputs(3))
    assert [(found[f"{k}.weight"].kind, found[f"{k}.weight"].m) for k in (0, 2, 4)] == [
        ("input", 4),
        ("hidden", 4),
        ("output", 4),
    ]
    adam, sgd = mup.factors(found, "adamw"), mup.factors(found, "sgd")
    assert [adam[f"{k}.weight"].lr for k in (0, 2, 4)] == [1, 1 / 4, 1 / 4]
    assert [sgd[f"{k}.weight"].lr for k in (0, 2, 4)] == [4, 1, 1 / 4]
    assert (adam["0.bias"].lr, sgd["0.bias"].lr, sgd["4.bias"].lr) == (1, 4, 1)
    assert all(f.lr * f.weight_decay == pytest.approx(1) for f in [*adam.values(), *sgd.values()])
    assert mup.hidden(found) == {"2.weight"}


def test_nothing_changes_at_the_base_width(digits):
    config = {"width": 32, "depth": 2, "base_width": 32}
    plain = Trainer(build("mlp"), digits, config, 1, seed=0)
    same = Trainer(build("mlp"), digits, {**config, "parametrization": "mup"}, 1, seed=0)
    assert plain.epoch() == same.epoch()


def test_a_model_without_width_is_refused():
    with pytest.raises(SpecError, match="does not change with `width`"):
        mup.roles(lambda c, i, o: nn.Linear(i, o), {"width": 8}, Inputs(4), Outputs(2))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon", "lion"])
def test_activations_stay_flat_over_widths(digits, optimizer):
    lr = {"sgd": 0.05, "lion": 1e-3}.get(optimizer, 4e-3)
    config = {"depth": 3, "optimizer": optimizer, "lr": lr, "parametrization": "mup", "base_width": 64}
    widths = (64, 128, 256, 512) if optimizer == "muon" else (64, 128, 256, 512, 1024)
    checked = coordinate_check(build("mlp"), digits, config, widths, seeds=(0, 1))
    assert checked.worst() <= 0.1, checked.slopes()


def test_the_standard_parametrization_fails_the_coordinate_check(digits):
    config = {"depth": 3, "optimizer": "adamw", "lr": 4e-3}
    checked = coordinate_check(build("mlp"), digits, config, (64, 128, 256, 512, 1024), seeds=(0, 1))
    assert max(checked.slopes().values()) >= 0.4


@pytest.mark.slow
def test_the_best_learning_rate_stays_over_a_sixteenfold_width(digits):
    lrs = [2.0**k for k in range(-9, -1)]
    config = {
        "depth": 3,
        "activation": "gelu",
        "schedule": "linear",
        "base_width": 32,
        "batch_size": 64,
        "weight_decay": 0.0,
    }
    found = {
        kind: alignment_check(build("mlp"), digits, {**config, "parametrization": kind}, (32, 128, 512), lrs, epochs=2)
        for kind in ("mup", "standard")
    }
    assert found["mup"].spread() <= 1.0, found["mup"].best()
    drift = found["standard"].best()
    assert drift[-1] < drift[0] - 2, "the best rate should fall with the width"


def test_all_families_train_under_mup():
    data = load("digits", seed=0)
    for name in (family.name for family in families().values() if "parametrization" in family.defaults):
        config = {"width": 16, "base_width": 8, "depth": 1, "parametrization": "mup", "lr": 1e-2, "batch_size": 128}
        report = Trainer(build(name), data, config, 1, seed=0).epoch()
        assert torch.isfinite(torch.tensor(report["val_loss"]))
