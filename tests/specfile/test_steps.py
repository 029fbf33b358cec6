"""`steps:` in the place of `epochs`: how it is written, what it cannot be combined with, what `plan` says of it."""

import pytest

from automl import specfile
from automl.view.pages import plan

TEXT = """
model: mlp
data: digits
metric: val_accuracy
steps: {steps}
space: {{width: 16, lr: [0.1, 0.01], batch_size: [32, 256]}}
budget: {{trials: 5}}
"""


def read(steps: str, more: str = "") -> specfile.Spec:
    return specfile.parse(TEXT.format(steps=steps) + more, "space.yaml")


def complaint(steps: str, more: str = "") -> str:
    with pytest.raises(specfile.InvalidSpec) as caught:
        read(steps, more)
    return "\n".join(f"{c.path}: {c.message}{c.hint}" for c in caught.value.complaints)


@pytest.mark.parametrize(
    ("written", "size"), [("1000", 1000), ("1_000_000", 10**6), ("1M", 10**6), ("2.5k", 2500), ("1e6", 10**6)]
)
def test_counts(written, size):
    spec = read(f"{{samples: {written}, number: 40}}")
    assert spec.steps == {"samples": size, "number": 40}
    assert spec.epochs is None
    assert spec.plan.horizon == 40
    assert spec.plan.unit == "step"
    again = specfile.from_json(spec.to_json())
    assert (again.steps, again.plan) == (spec.steps, spec.plan)


@pytest.mark.parametrize("written", ["0", "-1", "1.5", "many", "1_", "true", "1e300", "[1]"])
def test_what_is_no_count(written):
    assert "steps.samples: " in complaint(f"{{samples: {written}, number: 40}}")


@pytest.mark.parametrize(
    ("steps", "more", "said"),
    [
        ("{number: 3}", "", "steps: needs exactly one of samples, batches, tokens, got none"),
        ("{samples: 5k, batches: 3, number: 3}", "", "got samples and batches"),
        ("{samples: 5k}", "", "steps: number is missing"),
        ("{seconds: 60, number: 3}", "", "a step of so many seconds would train more on a faster machine"),
        ("{samples: 5k, number: 3}", "epochs: 4", "epochs: epochs and steps are two units of one length"),
        ("{samples: 5k, number: 3}", "budget: {epochs: 4}", "budget.epochs: trials of this search are measured in st"),
    ],
)
def test_what_does_not_go_together(steps, more, said):
    if more.startswith("budget"):
        text = TEXT.replace("budget: {{trials: 5}}", more.replace("{", "{{").replace("}", "}}"))
        with pytest.raises(specfile.InvalidSpec, match=said):
            specfile.parse(text.format(steps=steps), "space.yaml")
    else:
        assert said in complaint(steps, more)


def test_trees_have_no_such_steps():
    text = TEXT.format(steps="{samples: 5k, number: 3}").replace("model: mlp", "model: [mlp, trees]")
    with pytest.raises(specfile.InvalidSpec, match="steps: trees grow in rounds over all samples; give epochs"):
        specfile.parse(text, "space.yaml")


def test_a_function_has_no_such_steps():
    text = TEXT.format(steps="{samples: 5k, number: 3}").replace("model: mlp\ndata: digits", "train: my.module:train")
    with pytest.raises(specfile.InvalidSpec, match="steps: can only be used with model"):
        specfile.parse(text, "space.yaml")


def test_warnings():
    assert not read("{samples: 256, number: 9}").warnings
    assert "a step of 100 samples is less than a batch of 256" in read("{samples: 100, number: 9}").warnings[0]
    short = specfile.parse(
        TEXT.replace("trials: 5", "trials: 5, steps: 6").format(steps="{batches: 4, number: 9}"), "space.yaml"
    )
    assert "a full one takes 9 steps, and all together have 6" in short.warnings[0]


def test_halving_waits_for_the_warm_up_in_steps():
    text = TEXT.replace("lr: [0.1, 0.01]", "lr: [0.1, 0.01], warmup: 0.2")
    assert specfile.parse(text.format(steps="{samples: 1k, number: 40}"), "space.yaml").stopper["min_steps"] == 8


def test_the_plan_speaks_of_steps():
    spec = specfile.parse(
        TEXT.replace("trials: 5", "steps: 600").format(steps="{samples: 1M, number: 40, val_rows: 20k}"), "space.yaml"
    )
    said = plan.text(spec)
    assert "mlp on digits, full trials of 40 steps of 1,000,000 samples" in said
    assert "each step on 20,000 validation rows" in said
    assert "budget    600 steps" in said
    assert plan.document(spec)["budget"] == {"trials": None, "steps": 600, "seconds": None}
