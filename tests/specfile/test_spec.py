"""Reading specifications: what comes out, overrides, presets, the schema, and how little is imported for it."""
# ruff: noqa: E501

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from automl import specfile
from automl.core import plugins
from automl.core.space import Choice, Float, Int
from automl.core.trial import Metric, Plan
from automl.errors import SpecError
from tests.support.golden import Golden

LOOP = "train: my.module:train\nmetric: val_loss\nbudget: {trials: 5}\nspace:\n  lr: {float: [1e-4, 1], log: true}\n"
GROUPS = (
    "train: my.module:train\nmetric: val_loss\nbudget: {trials: 5}\nspace:\n  architecture:\n    width: {int: [16, 64]}\n"
    "    act: [relu, gelu]\n  optimizer:\n    optimizer: [sgd, adamw]\n    lr: {float: [0.1, 1.0]}\n"
)


def complaints(text: str) -> list[specfile.Complaint]:
    with pytest.raises(specfile.InvalidSpec) as caught:
        specfile.parse(text, "space.yaml")
    return caught.value.complaints


# -- what comes out ------------------------------------------------------------------------------------------------


def test_the_digits_preset() -> None:
    read = specfile.read("digits")
    assert (read.name, read.model, read.data, read.epochs, read.seed) == ("digits", "mlp", "digits", 30, 7)
    assert read.metric == Metric("val_accuracy", "maximize", "last")
    assert read.plan == Plan(trials=60, steps=1500, time_s=600.0, horizon=30)
    assert (read.strategy, read.stopper) == ({"name": "auto"}, {"name": "halving"})
    assert read.space.params["weight_decay"] == Float(1e-6, 0.1, log=True, default=1e-4)
    assert read.space.params["momentum"].when == {"optimizer": ("sgd",)}
    assert read.space.params["batch_size"] == Choice((32, 64, 128), ordered=True)
    assert read.space.groups["dropout"] == "regularization"
    assert read.split == {"train": 0.5, "val": 0.25, "test": 0.25}
    assert read.path is not None
    assert read.text == read.path.read_text()
    assert read.warnings == ()


def test_everything_at_once_and_back_through_json() -> None:
    read = specfile.parse(
        LOOP + "  width: 64\n  heads: [2, 4]\nvalue: best\nseed: 3\nworkers: 2\nstrategy: {name: grid, resolution: 4}\n"
        "stopper: none\nfirst: [{lr: 0.1}, {lr: 1, heads: 2}]\nconstraints: ['width % heads == 0']\n"
        "fidelity: {width: [64, 512]}\nresources: {gpus: 2}\nisolation: process\nretries: 0\n"
        "trial_timeout: 1h30m\nfuse: never\ncompile: true\nprecision: bf16\noom: accumulate\nfinalists: {top: 2}\n"
        "parallel: replicate\n"
        "executor: {name: inline}\nstudy: everything\nepochs: 9\n",
        "space.yaml",
    )
    assert read.metric == Metric("val_loss", "minimize", "best")
    assert read.plan == Plan(trials=5, horizon=9, workers=2)
    assert read.space.constants == {"width": 64}
    assert read.first == ({"width": 64, "lr": 0.1, "heads": 4}, {"width": 64, "lr": 1.0, "heads": 2})
    assert read.fidelity == {"width": (64, 512)}
    assert (read.trial_timeout_s, read.compile, read.finalists) == (5400.0, "always", {"top": 2, "seeds": 3})
    assert (read.executor, read.parallel) == ({"name": "inline"}, "replicate")
    again = specfile.from_json(json.loads(json.dumps(read.to_json())))
    for name in (
        "name", "metric", "space", "plan", "train", "strategy", "stopper", "executor", "seed", "value", "first", "fidelity",
        "constraints", "resources", "isolation", "retries", "trial_timeout_s", "fuse", "finalists", "parallel",
    ):  # fmt: skip
        assert getattr(again, name) == getattr(read, name), name


def test_what_is_left_out_has_defaults() -> None:
    read = specfile.parse(LOOP, "my space.yaml")
    assert read.name == "my-space"
    assert (read.strategy, read.stopper) == ({"name": "auto"}, {"name": "asha"})
    assert (read.fuse, read.value, read.retries, read.finalists) == ("auto", "last", 1, {"top": 5, "seeds": 3})
    assert read.plan == Plan(trials=5)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", {"name": "halving"}),
        ("  warmup: {choice: [0.0, 0.05, 0.1]}\n", {"name": "halving", "min_steps": 5}),
        ("  warmup: {float: [0, 0.2]}\n", {"name": "halving", "min_steps": 10}),
        ("  warmup: 3\n", {"name": "halving", "min_steps": 3}),
        ("  warmup: 0.01\n", {"name": "halving"}),
        ("  warmup: 0.2\nstopper: halving\n", {"name": "halving", "min_steps": 10}),
        ("  warmup: 0.2\nstopper: {name: halving, min_steps: 1}\n", {"name": "halving", "min_steps": 1}),
        ("  warmup: 0.2\nstopper: asha\n", {"name": "asha"}),
    ],
)
def test_built_in_models_pause_at_rungs_after_the_warm_up(more: str, expected: dict[str, Any]) -> None:
    model = "model: mlp\ndata: digits\nmetric: val_loss\nepochs: 50\nbudget: {trials: 5}\n"
    assert specfile.parse(f"{model}space:\n  lr: {{float: [1e-4, 1], log: true}}\n{more}").stopper == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [("90", 90.0), ("1.5", 1.5), ("90s", 90.0), ("10m", 600.0), ("1h30m", 5400.0), ("2d", 172800.0), ("1h 5s", 3605.0), ("0.5h", 1800.0)],
)  # fmt: skip
def test_durations(written: str, expected: float) -> None:
    assert specfile.parse(LOOP.replace("{trials: 5}", f"{{time: {written}}}"), "s").plan.time_s == expected


@pytest.mark.parametrize("written", ["m", "''", "10 m s", "-3", "1e3s", "5x", "1m1h", "true", "[1]", "1e99"])
def test_wrong_durations(written: str) -> None:
    [complaint] = complaints(LOOP.replace("{trials: 5}", f"{{time: {written}}}"))
    assert complaint.path == "budget.time"
    assert "duration" in complaint.message


def test_sample_and_class_weights_reach_the_preparation() -> None:
    text = "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 3\nbudget: {trials: 5}\nspace: {depth: [1, 2]}\n"
    read = specfile.parse(text + "prepare: {scale: standard}\nsample_weight: w\nclass_weight: balanced\n", "s")
    assert read.prepare == {"scale": "standard", "weight": "w", "class_weight": "balanced"}


def test_a_command_may_name_parameters_and_the_trial() -> None:
    command = "command: [python, t.py, '--lr={lr}', '--seed={seed}', '{{literal}}', 3]\n"
    read = specfile.parse(LOOP.replace("train: my.module:train\n", command), "s")
    assert read.command == ("python", "t.py", "--lr={lr}", "--seed={seed}", "{{literal}}", "3")


# -- warnings ------------------------------------------------------------------------------------------------------


def test_warnings_do_not_stop_anything(golden: Golden) -> None:
    read = specfile.parse(
        "train: a:b\nmetric: {name: val_loss, direction: maximize}\nbudget: {trials: 1}\nspace:\n"
        "  lr: {float: [1e-4, 1.0]}\n  size: [16, 32, 64, 128, 256]\n  fine: {float: [0.1, 1.0]}\n  few: [1, 2, 3]\n"
        "  shuffled: [5, 1, 2, 3, 4]\n",
        "space.yaml",
    )
    assert [w.split(": ", 2)[:2] for w in read.warnings] == [
        ["space.yaml:5:7", "space.lr"],
        ["space.yaml:6:9", "space.size"],
        ["space.yaml:2:37", "metric.direction"],
    ]
    golden.text("warnings", "".join(f"{line}\n" for line in read.warnings))


def test_a_missing_data_file_is_refused_where_the_search_would_run(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(
        "model: mlp\ndata: t.csv\ntarget: y\nmetric: val_loss\nepochs: 1\nbudget: {trials: 1}\nspace: {depth: [1, 2]}\n"
    )
    assert not specfile.read(file).warnings
    with pytest.raises(SpecError, match=r"space.yaml:2:7: data: there is no file 't.csv'"):
        specfile.read(file, gpus=lambda: 0)
    (tmp_path / "t.csv").write_text("x,y\n")
    read = specfile.read(file)
    assert read.warnings == ()
    assert read.folder == tmp_path


# -- overrides -----------------------------------------------------------------------------------------------------


def over(text: str = GROUPS, **overrides: Any) -> specfile.Spec:
    return specfile.parse(text, "space.yaml", overrides={k.replace("__", "."): v for k, v in overrides.items()})


def test_settings() -> None:
    read = over(budget__trials="9", budget__time="10m", strategy="grid", seed=5, metric__direction="maximize")
    assert (read.plan.trials, read.plan.time_s) == (9, 600.0)
    assert (read.strategy, read.seed, read.metric.direction) == ({"name": "grid"}, 5, "maximize")


def test_options_of_plugins_given_by_name() -> None:
    assert over(strategy="grid", strategy__resolution="3").strategy == {"name": "grid", "resolution": 3}
    assert over(stopper__name="asha", stopper__eta=4).stopper == {"name": "asha", "eta": 4}


def test_null_takes_a_setting_away() -> None:
    assert over(budget__trials="null", budget__time="5m").plan == Plan(time_s=300.0)


@pytest.mark.parametrize("path", ["space.optimizer.lr.high", "space.lr.high"])
def test_ranges(path: str) -> None:
    read = specfile.parse(GROUPS, "s", overrides={path: "1e1", path.replace("high", "log"): "true"})
    assert read.space.params["lr"] == Float(0.1, 10.0, log=True)


def test_parameters_may_be_replaced_by_anything() -> None:
    read = specfile.parse(
        GROUPS,
        "s",
        overrides={"space.act": "[tanh, silu]", "space.optimizer.lr": "0.3", "space.width": "{int: [1, 2]}"},
    )
    assert read.space.params["act"] == Choice(("tanh", "silu"))
    assert read.space.params["width"] == Int(1, 2)
    assert read.space.constants == {"lr": 0.3}


def test_a_parameter_named_like_its_group() -> None:
    assert over(space__optimizer="sgd").space.constants == {"optimizer": "sgd"}
    assert "lr" in over(space__optimizer="sgd").space.params


def test_options_of_a_list() -> None:
    assert over(space__act__default="gelu").space.params["act"] == Choice(("relu", "gelu"), default="gelu")


def test_the_kind_may_change() -> None:
    assert over(space__width__float="[0, 1]").space.params["width"] == Float(0, 1)


OVERRIDES = [  # path, value, and the path that the complaint names; None: there is no complaint
    ("budget.trails", 5, "budget.trails"),
    ("bugdet.trials", 5, "bugdet.trials"),
    ("strategy", "gird", "strategy"),
    ("space.lr.hihg", 1, "space.lr.hihg"),
    ("space.optimizer.lrr", 1, "space.optimizer.lrr"),
    ("space.widht.low", 1, "space.widht.low"),
    ("space.act.low", 1, "space.act.low"),
    ("space.lr.low", 0, None),
    ("space.lr.low", 5, "space.optimizer.lr"),
    ("space.lr", "&a 1", "space.lr"),
    ("seed.x", "1", "seed.x"),
    ("seed", "[", "seed"),
    ("space", "3", "space"),
    ("", "3", ""),
    ("space.lr.when.act", "relu", None),
    ("space.lr.when.act", "rleu", "space.optimizer.lr"),
]


@pytest.mark.parametrize(("path", "value", "named"), OVERRIDES)
def test_overrides_are_checked_like_the_file(golden: Golden, path: str, value: object, named: str | None) -> None:
    if named is None:
        specfile.parse(GROUPS, "space.yaml", overrides={path: value})
        return
    with pytest.raises(specfile.InvalidSpec) as caught:
        specfile.parse(GROUPS, "space.yaml", overrides={path: value})
    [complaint] = caught.value.complaints
    assert (complaint.file, complaint.line, complaint.path) == (f"override {path}={value}", 0, named)
    golden.entry("overrides", f"{path}={value}", str(complaint))


def test_every_sentence_about_overrides_is_that_of_a_case(golden: Golden) -> None:
    golden.only("overrides", [f"{path}={value}" for path, value, named in OVERRIDES if named is not None])


# -- presets -------------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution on the path that offers two presets and a plugin that cannot be imported."""
    (tmp_path / "tiny_presets.py").write_text(
        "from pathlib import Path\nHERE = Path(__file__).parent\n"
        "def presets():\n    return {'architecture/tiny': HERE / 'tiny.yaml', 'architecture/bad': HERE / 'bad.yaml'}\n"
    )
    (tmp_path / "tiny.yaml").write_text(
        "depth: {int: [1, 3]}   # layers\nwidth: {int: [16, 64], log: true}\nact: [relu]\n"
    )
    (tmp_path / "bad.yaml").write_text("depth: {int: [3, 1]}\n")
    info = tmp_path / "tiny_presets-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-presets\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[automl.search_spaces]\ntiny = tiny_presets:presets\nbroken = no_such_module:presets\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugins._entries.cache_clear()
    yield
    monkeypatch.undo()
    plugins._entries.cache_clear()


USE = (
    "train: a:b\nmetric: val_loss\nbudget: {trials: 5}\nspace:\n  architecture: {use: tiny, width: {int: [64, 4096]}}\n"
)


@pytest.mark.usefixtures("installed")
def test_a_preset_with_one_entry_replaced() -> None:
    read = specfile.parse(USE, "s")
    assert read.space.params == {"depth": Int(1, 3), "width": Int(64, 4096), "act": Choice(("relu",))}
    assert set(read.space.groups.values()) == {"architecture"}


@pytest.mark.usefixtures("installed")
def test_a_preset_in_a_group_of_another_name() -> None:
    read = specfile.parse(USE.replace("architecture: {use: tiny", "net: {use: architecture/tiny"), "s")
    assert read.space.groups["depth"] == "net"


@pytest.mark.usefixtures("installed")
def test_overrides_reach_into_presets() -> None:
    read = specfile.parse(USE, "s", overrides={"space.architecture.depth.high": 9, "space.act": "[relu, gelu]"})
    assert read.space.params["depth"] == Int(1, 9)
    assert read.space.params["act"] == Choice(("relu", "gelu"))


USES = {
    "unknown preset": (USE.replace("tiny", "tinny"), "5:23 space.architecture.use"),
    "unknown parameter": (USE.replace("width", "widht"), "5:29 space.architecture.widht"),
    "mistake in the preset": (USE.replace("{use: tiny, width: {int: [64, 4096]}}", "{use: bad}"), "5:23 space.architecture.depth"),
    "mistake in the replacement": (USE.replace("64, 4096", "64, 6"), "5:42 space.architecture.width"),
    "list of presets": (USE.replace("use: tiny", "use: [tiny]"), "5:23 space.architecture.use"),
}  # fmt: skip


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("rule", USES)
def test_mistakes_about_presets_have_places(golden: Golden, rule: str) -> None:
    text, place = USES[rule]
    [complaint] = complaints(text)
    assert f"{complaint.line}:{complaint.column} {complaint.path}" == place
    golden.entry("presets", rule, f"{complaint.message}{complaint.hint}")


@pytest.mark.usefixtures("installed")
def test_an_unknown_preset_causes_no_follow_up_complaints() -> None:
    text = (
        USE.replace("tiny", "tyni")
        + "  lr: {float: [0, 1], when: {act: relu}}\nconstraints: ['depth > 1']\nfirst: [{depth: 1}]\n"
    )
    assert len(complaints(text)) == 1


# -- files ---------------------------------------------------------------------------------------------------------


def test_a_file_goes_before_a_preset_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert specfile.read("digits").model == "mlp"
    (tmp_path / "digits").write_text(LOOP)
    assert specfile.read("digits").train == "my.module:train"


@pytest.mark.parametrize("name", ["-rf é\n 空.yaml", "a b.yaml", "x.y.yml"])
def test_strange_file_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(LOOP)
    read = specfile.read(tmp_path / name)
    assert "/" not in read.name
    assert "\n" not in read.name
    (tmp_path / name).write_text("a: [")
    with pytest.raises(SpecError, match=":1:5: "):
        specfile.read(tmp_path / name)


@pytest.mark.parametrize("name", ["nothing.yaml", "digit", ".", "architecture/mlp"])
def test_nothing_of_that_name(golden: Golden, name: str) -> None:
    with pytest.raises(SpecError) as caught:
        specfile.read(name)
    assert repr(name) in str(caught.value)
    golden.entry("nothing_to_read", name, str(caught.value))


@pytest.mark.parametrize("name", ["a\x00b.yaml", "x" * 5000 + ".yaml"])
def test_a_name_that_no_file_can_have(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        specfile.read(name)
    assert str(caught.value).startswith(f"{name}: ")


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(SpecError, match=r"folder\.yaml: .*Is a directory"):
        specfile.read(tmp_path / "folder.yaml")


# -- schema and imports --------------------------------------------------------------------------------------------


def test_the_schema_knows_every_key_and_resolves() -> None:
    schema = specfile.schema()
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert {"study", "model", "space", "budget", "fuse", "finalists"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False
    assert {"metric", "space", "budget"} <= set(schema["required"])
    text = json.dumps(schema)
    assert "$defs" not in text
    assert "prefixItems" not in text
    for reference in {part.split('"')[0] for part in text.split('"#/definitions/')[1:]}:
        assert reference in schema["definitions"]
    assert set(schema["definitions"]["float_parameter"]["properties"]) == {"float", "log", "step", "default", "when"}


def test_reading_imports_nothing_heavy_and_no_user_code() -> None:
    code = (
        "import sys; from automl import specfile as spec; spec.read('digits'); spec.schema();"
        "spec.parse('train: my.module:train\\nmetric: val_loss\\nbudget: {trials: 5}\\nspace: {a: [1, 2]}', 's');"
        "print([m for m in ('torch', 'sklearn', 'optuna', 'pandas', 'scipy', 'ray', 'my') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
