"""Every mistake in a specification is reported with line, column, path, value, rule and the nearest valid name.

The cases pin rule, line, column and path; the sentences are in `golden/complaints.txt` (`pytest --record-wording`).
"""

import pytest

from automl import specfile
from tests.support.golden import Golden

HEAD = "train: my.module:train\nmetric: val_loss\nbudget: {trials: 5}\n"
MODEL = (
    "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 3\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n"
)


def in_space(lines: str) -> str:
    """A specification that is right but for these lines of its space, which begin in line 5, column 3."""
    return HEAD + "space:\n" + "".join(f"  {line}\n" for line in lines.split("\n"))


def but(old: str, new: str) -> str:
    """MODEL with one piece of text replaced."""
    assert old in MODEL
    return MODEL.replace(old, new)


def caught(text: str | bytes, file: str = "space.yaml") -> specfile.InvalidSpec:
    """The error that reading `text` raises."""
    with pytest.raises(specfile.InvalidSpec) as raised:
        specfile.parse(text, file)
    return raised.value


# (rule, text, [line:column path of every complaint])
CASES: list[tuple[str, str | bytes, list[str]]] = [
    ("list not closed", "a: [1, 2\n", ["1:4"]),
    ("two colons in a line", "a: b: c\n", ["1:5"]),
    ("tab", "\ta: 1\n", ["1:1"]),
    ("text instead of a mapping", "a\n", ["1:1"]),
    ("empty", "", ["1:1"]),
    ("only a comment", "# only a comment\n", ["1:1"]),
    ("list instead of a mapping", "- a\n- b\n", ["1:1"]),
    ("words instead of a mapping", "just text\n", ["1:1"]),
    ("quote not closed", "a: 'open\n", ["1:4"]),
    ("unknown character", "a: @x\n", ["1:4"]),
    ("mapping not closed", "a: {x: 1\n", ["1:4"]),
    ("two documents", "a: 1\n---\nb: 2\n", ["2:1"]),
    ("directive", "%YAML 1.1\n---\na: 1\n", ["1:1", "3:1", "3:1", "3:1", "3:1 a", "3:1"]),
    ("control character", "a: \x07\n", ["1:4"]),
    ("UTF-16", b"\xff\xfea\x00", ["1:1"]),
    ("not UTF-8", b"a: \xe9\n", ["1:4"]),
    ("anchor", HEAD + "space: {lr: &a [1, 2]}\n", ["4:13 space.lr"]),
    ("alias", HEAD + "space: {lr: [1, 2], x: *a}\n", ["4:24 space.x"]),
    ("tag", HEAD + "space: {lr: !!python/name:os.system x}\n", ["4:13 space.lr"]),
    ("merge", HEAD + "space: {lr: [1, 2], <<: 3}\n", ["4:21 space"]),
    ("key twice", HEAD + "space: {lr: [1, 2]}\nmetric: val_acc\n", ["5:1 metric"]),
    ("infinity", HEAD + "space: {lr: {float: [1, .inf]}}\n", ["4:25 space.lr.float[1]"]),
    ("integer beyond 64 bits", HEAD + "space: {n: {int: [1, 99999999999999999999]}}\n", ["4:22 space.n.int[1]"]),
    ("number as a key", HEAD + "space: {1: [a, b]}\n", ["4:9 space"]),
    ("list as a key", HEAD + "space: {[a]: 1}\n", ["4:9 space"]),
    ("number too large", HEAD + "space: {n: {float: [1, 1e999]}}\n", ["4:24 space.n.float[1]"]),
    ("log of zero", in_space("lr: {float: [0, 1.0], log: true}"), ["5:16 space.lr"]),
    (
        "log of zero, in a group",
        in_space("optimizer:\n  lr: {float: [0, 1.0], log: true}"),
        ["6:18 space.optimizer.lr"],
    ),
    ("range upside down", in_space("lr: {float: [1, 0.1]}"), ["5:15 space.lr"]),
    ("empty range", in_space("lr: {float: [1, 0]}"), ["5:15 space.lr"]),
    ("range with one end", in_space("lr: {float: [0.1]}"), ["5:15 space.lr.float"]),
    ("range without a list", in_space("lr: {float: 0.1}"), ["5:15 space.lr.float"]),
    ("range of words", in_space("lr: {float: [a, b]}"), ["5:16 space.lr.float[0]", "5:19 space.lr.float[1]"]),
    ("misspelt kind", in_space("lr: {flaot: [0, 1]}"), ["5:8 space.lr"]),
    ("ends by other names", in_space("lr: {min: 0, max: 1}"), ["5:8 space.lr"]),
    ("misspelt option", in_space("lr: {float: [0, 1], lgo: true}"), ["5:23 space.lr.lgo"]),
    ("log: yes", in_space("lr: {float: [0, 1], log: yes}"), ["5:28 space.lr.log"]),
    ("step larger than the range", in_space("lr: {float: [0, 1], step: 2}"), ["5:29 space.lr"]),
    ("step of zero", in_space("lr: {float: [0, 1], step: 0}"), ["5:29 space.lr.step"]),
    ("log and step", in_space("lr: {float: [0.1, 1], log: true, step: 0.1}"), ["5:42 space.lr"]),
    ("default outside", in_space("lr: {float: [0, 1], default: 2}"), ["5:32 space.lr"]),
    ("half an integer", in_space("n: {int: [1, 2.5]}"), ["5:16 space.n.int[1]"]),
    ("integer as a float", in_space("n: {int: [1, 1e3]}"), ["5:16 space.n.int[1]"]),
    ("integer range upside down", in_space("n: {int: [5, 1]}"), ["5:12 space.n"]),
    ("default between the steps", in_space("n: {int: [1, 9], step: 2, default: 4}"), ["5:38 space.n"]),
    ("integer beyond 2^53", in_space("n: {int: [1, 18014398509481984]}"), ["5:16 space.n"]),
    ("true as an integer", in_space("n: {int: [1, true]}"), ["5:16 space.n.int[1]"]),
    ("choice of nothing", in_space("act: []"), ["5:8 space.act"]),
    ("choice names a value twice", in_space("act: [relu, relu]"), ["5:8 space.act"]),
    ("choice of mappings", in_space("act: [relu, {gelu: 1}]"), ["5:15 space.act[1]"]),
    ("choice without a list", in_space("act: {choice: relu}"), ["5:17 space.act.choice"]),
    ("default is no choice", in_space("act: {choice: [relu, gelu], default: rleu}"), ["5:40 space.act"]),
    ("choice with log", in_space("act: {choice: [a, b], log: true}"), ["5:25 space.act.log"]),
    ("two kinds", in_space("act: {choice: [a], int: [1, 2]}"), ["5:9 space.act.choice"]),
    ("parameter without a value", in_space("act:"), ["5:3 space.act"]),
    ("empty group", in_space("g: {}"), ["5:6 space.g"]),
    ("group in a group", in_space("g:\n  h: {x: 1}"), ["6:8 space.g.h"]),
    ("name in two groups", in_space("a:\n  lr: 1\nb:\n  lr: 2"), ["8:5 space.b.lr"]),
    ("name with a blank", in_space("lr rate: 1"), ["5:3 space.lr rate"]),
    (
        "condition on a value that cannot be",
        in_space("opt: [sgd, adam]\nm: {float: [0, 1], when: {opt: sdg}}"),
        ["6:34 space.m"],
    ),
    (
        "condition on an unknown parameter",
        in_space("opt: [sgd, adam]\nm: {float: [0, 1], when: {otp: sgd}}"),
        ["6:34 space.m"],
    ),
    ("condition on an empty list", in_space("opt: [sgd, adam]\nm: {float: [0, 1], when: {opt: []}}"), ["6:34 space.m"]),
    ("condition without a mapping", in_space("opt: [sgd, adam]\nm: {float: [0, 1], when: sgd}"), ["6:28 space.m.when"]),
    (
        "circle of conditions",
        in_space("a: {choice: [1, 2], when: {b: 1}}\nb: {choice: [1, 2], when: {a: 1}}"),
        ["5:29 space.a"],
    ),
    ("condition on itself", in_space("a: {choice: [1, 2], when: {a: 1}}"), ["5:33 space.a"]),
    (
        "condition outside the range",
        in_space("n: {int: [1, 4]}\nm: {float: [0, 1], when: {n: [2, 9]}}"),
        ["6:32 space.m"],
    ),
    ("preset without a name", in_space("architecture: {use: 3}"), ["5:23 space.architecture.use"]),
    ("no parameters", HEAD + "space: {}\n", ["4:8 space"]),
    ("space without a value", HEAD + "space:\n", ["4:1 space"]),
    ("space as a list", HEAD + "space: [a]\n", ["4:8 space"]),
    ("space is missing", HEAD + "", ["1:1"]),
    ("nothing to train", "metric: val_loss\nbudget: {trials: 5}\nspace: {lr: [1, 2]}\n", ["1:1"]),
    ("two things to train", MODEL + "train: a:b\n", ["7:1 train"]),
    ("model without data", but("data: digits\n", ""), ["1:1 model"]),
    ("model without epochs", but("epochs: 3\n", ""), ["1:1 model"]),
    ("unknown model", but("model: mlp", "model: mpl"), ["1:8 model"]),
    ("metric is missing", but("metric: val_accuracy\n", ""), ["1:1"]),
    ("budget is missing", but("budget: {trials: 5}\n", ""), ["1:1"]),
    ("budget without a limit", but("budget: {trials: 5}", "budget: {}"), ["5:9 budget"]),
    ("misspelt limit", but("budget: {trials: 5}", "budget: {trails: 5}"), ["5:10 budget.trails"]),
    ("budget of zero", but("budget: {trials: 5}", "budget: {trials: 0}"), ["5:18 budget.trials"]),
    ("not a duration", but("budget: {trials: 5}", "budget: {time: 10 parsecs}"), ["5:16 budget.time"]),
    ("duration of zero", but("budget: {trials: 5}", "budget: {time: 0s}"), ["5:16 budget.time"]),
    ("epochs and steps", but("budget: {trials: 5}", "budget: {epochs: 5, steps: 5}"), ["5:9 budget"]),
    ("misspelt key", but("epochs: 3", "epohcs: 3"), ["4:1 epohcs"]),
    ("word as an integer", but("epochs: 3", "epochs: three"), ["4:9 epochs"]),
    ("integer as a float, for epochs", but("epochs: 3", "epochs: 1e2"), ["4:9 epochs"]),
    ("metric of unknown direction", but("metric: val_accuracy", "metric: goodness"), ["3:9 metric"]),
    (
        "unknown direction",
        but("metric: val_accuracy", "metric: {name: val_accuracy, direction: up}"),
        ["3:41 metric.direction"],
    ),
    ("metric without a name", but("metric: val_accuracy", "metric: {direction: minimize}"), ["3:1 metric"]),
    ("unknown strategy", MODEL + "strategy: gird\n", ["7:11 strategy"]),
    ("misspelt option of a strategy", MODEL + "strategy: {name: grid, resolutoin: 3}\n", ["7:24 strategy.resolutoin"]),
    ("wrong option of a strategy", MODEL + "strategy: {name: grid, resolution: 0}\n", ["7:36 strategy.resolution"]),
    ("unknown stopper", MODEL + "stopper: ahsa\n", ["7:10 stopper"]),
    ("wrong option of a stopper", MODEL + "stopper: {name: asha, eta: 1}\n", ["7:28 stopper.eta"]),
    ("shares beyond one", MODEL + "split: {train: 0.9}\n", ["7:8 split"]),
    ("misspelt share", MODEL + "split: {train: 0.5, val: 0.25, tset: 0.25}\n", ["7:32 split.tset"]),
    ("negative seed", MODEL + "seed: -1\n", ["7:7 seed"]),
    ("word as a seed", MODEL + "seed: x\n", ["7:7 seed"]),
    ("misspelt word", MODEL + "fuse: nevr\n", ["7:7 fuse"]),
    ("finalists of zero", MODEL + "finalists: {top: 0}\n", ["7:18 finalists.top"]),
    ("first config with an unknown name", MODEL + "first: [{dpeth: 2}]\n", ["7:10 first[0].dpeth"]),
    ("first config outside", MODEL + "first: [{depth: 9}]\n", ["7:17 first[0].depth"]),
    ("constraint on an unknown name", MODEL + 'constraints: ["widht % 2 == 0"]\n', ["7:15 constraints[0]"]),
    ("constraint with an attribute", MODEL + 'constraints: ["depth.__class__"]\n', ["7:15 constraints[0]"]),
    ("constraint not finished", MODEL + 'constraints: ["depth =="]\n', ["7:15 constraints[0]"]),
    ("timeout that is no duration", MODEL + "trial_timeout: soon\n", ["7:16 trial_timeout"]),
    ("no workers", MODEL + "workers: 0\n", ["7:10 workers"]),
    ("misspelt value", MODEL + "value: bset\n", ["7:8 value"]),
    ("key without a value", MODEL + "study:\n", ["7:1 study"]),
    (
        "fidelity without finalists",
        MODEL + "parametrization: mup\nfidelity: {depth: [1, 2], widht: [1, 2]}\nfinalists: none\n",
        ["8:1 fidelity", "8:27 fidelity.widht"],
    ),
    ("fidelity without muP", MODEL + "fidelity: {width: [128, 1024]}\n", ["7:12 fidelity.width"]),
    ("fidelity upside down", MODEL + "parametrization: mup\nfidelity: {width: [1024, 128]}\n", ["8:19 fidelity.width"]),
    (
        "train without a function",
        "train: my.module\nmetric: val_loss\nbudget: {trials: 5}\nspace: {lr: [1, 2]}\n",
        ["1:8 train"],
    ),
    (
        "command as one text",
        "command: python train.py\nmetric: val_loss\nbudget: {trials: 5}\nspace: {lr: [1, 2]}\n",
        ["1:10 command"],
    ),
    (
        "command with an unknown name",
        "command: [python, train.py, '--lr={rl}']\nmetric: val_loss\nbudget: {trials: 5}\nspace: {lr: [1, 2]}\n",
        ["1:29 command[2]"],
    ),
    ("target without a model", HEAD + "target: y\nspace: {lr: [1, 2]}\n", ["4:1 target"]),
    (
        "misspelt train",
        "trian: my.module:train\nmetric: val_loss\nbudget: {trials: 5}\nspace: {lr: [1, 2]}\n",
        ["1:1 trian"],
    ),
    ("strategy as a number", MODEL + "strategy: 3\n", ["7:11 strategy"]),
    ("finalists as a number", MODEL + "finalists: 3\n", ["7:12 finalists"]),
    ("stopper without a name", MODEL + "stopper: {eta: 3}\n", ["7:1 stopper"]),
    ("unknown key", MODEL + "unknown: 1\n", ["7:1 unknown"]),
    ("patience with the last value", MODEL + "patience: 5\nvalue: last\n", ["8:8 value"]),
    ("patience without a model", HEAD + "space: {a: [1, 2]}\npatience: 5\n", ["5:1 patience"]),
    ("mapping instead of a word", MODEL + "oom: {a: 1}\n", ["7:6 oom"]),
    ("unknown kind of parallel", MODEL + "parallel: both\n", ["7:11 parallel"]),
    ("shard without devices", MODEL + "parallel: shard\nresources: {gpus: 1}\n", ["7:11 parallel"]),
    (
        "shard with compile",
        MODEL + "parallel: shard\nexecutor: {name: local, gpus: 2}\ncompile: true\n",
        ["9:10 compile"],
    ),
    ("a device that is not known", MODEL + "resources: {devices: [cpu, tpu]}\n", ["7:28 resources.devices[1]"]),
    ("shard on one CPU", MODEL + "parallel: shard\nresources: {devices: [cpu]}\n", ["7:11 parallel"]),
    ("negative resource", MODEL + "resources: {gpus: -1}\n", ["7:19 resources.gpus"]),
    ("unknown word for compile", MODEL + "compile: sometimes\n", ["7:10 compile"]),
    ("group and time", MODEL + "split: {train: 0.5, val: 0.25, test: 0.25, group: g, time: t}\n", ["7:8 split"]),
    (
        "log: on, beside a condition",
        in_space("lr: {float: [1e-4, 1], when: {n: 1}, log: on}\nn: [1, 2]"),
        ["5:45 space.lr.log"],
    ),
    ("not a number", in_space("lr: {float: [.nan, 1]}"), ["5:16 space.lr.float[0]"]),
    ("infinity in a choice", in_space("lr: [1, .inf]"), ["5:11 space.lr[1]"]),
    ("equal values of other types", in_space('a: {choice: [1, true, "1", 1.0]}'), ["5:15 space.a"]),
    (
        "indented line after a value",
        but("model: mlp", "model: mlp\n  x: y"),
        ["2:4"],
    ),
    ("line indented too far", "a: 1\n b: 2\n", ["2:3"]),
    ("line indented too little", "a:\n  - b\n c: 1\n", ["3:2"]),
    ("list after a mapping", "? a\n: b\n- c\n", ["3:1"]),
    ("empty mapping", "{}\n", ["1:1", "1:1", "1:1", "1:1"]),
    ("null", "null\n", ["1:1"]),
    ("number instead of a mapping", "3\n", ["1:1"]),
    (
        "hexadecimal without digits",
        but("budget: {trials: 5}", "budget: {trials: 5, time: 10m, epochs: 0x}"),
        ["5:40 budget.epochs"],
    ),
    ("empty key", MODEL + "'': 3\n", ["7:1"]),
    (
        "five mistakes at once",
        HEAD + "space: {lr: {float: [0, 1], log: true}, n: {int: [3, 1]}, act: [], m: {float: [0, 1], when: {k: 1}}}\n"
        "sed: 3\n",
        ["4:22 space.lr", "4:50 space.n", "4:64 space.act", "4:97 space.m", "5:1 sed"],
    ),
]


@pytest.mark.parametrize(("rule", "text", "places"), CASES, ids=[rule for rule, *_ in CASES])
def test_every_mistake_is_named_at_its_place(golden: Golden, rule: str, text: str | bytes, places: list[str]) -> None:
    error = caught(text)
    found = [f"{one.line}:{one.column} {one.path}".strip() for one in error.complaints]
    assert found == places
    sentences = "\n".join(str(complaint) for complaint in error.complaints)
    assert all(line in str(error) for line in sentences.split("\n"))
    golden.entry("complaints", rule, sentences)


def test_every_rule_has_a_sentence_and_every_sentence_a_rule(golden: Golden) -> None:
    golden.only("complaints", [rule for rule, *_ in CASES])


def test_the_line_and_a_caret_are_shown() -> None:
    error = caught(in_space("optimizer:\n  lr: {float: [0, 1.0], log: true}"))
    assert str(error) == f"{error.complaints[0]}\n      lr: {{float: [0, 1.0], log: true}}\n                   ^"
    assert str(error).startswith("space.yaml:6:18: space.optimizer.lr: ")
    assert error.exit_code == 2


def test_at_most_twenty_are_shown() -> None:
    error = caught(in_space("\n".join(f"p{k}: []" for k in range(30))))
    assert len(error.complaints) == 30
    assert str(error).count("space.yaml:") == 20
    assert str(error).splitlines()[-1] == "... and 10 more"


def test_a_hostile_name_cannot_drive_the_terminal() -> None:
    error = caught(HEAD + 'space: {lr: [1, 2]}\n"\\e[31mred\\a": 1\n', "sp\x1bace.yaml")
    assert "\x1b" not in str(error)
    assert "\x07" not in str(error)


def test_a_long_line_is_shown_around_its_caret() -> None:
    text = HEAD + "space: {" + ", ".join(f"p{k}: [1, 2]" for k in range(50)) + ", bad: []}\n"
    _, line, caret = str(caught(text)).split("\n")
    assert len(line) < 120
    assert line[caret.index("^") :].startswith("[]}")
