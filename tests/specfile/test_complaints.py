"""Every mistake in a specification is told with line, column, path, value, rule and the nearest valid name."""

# ruff: noqa: E501

import pytest

from automl import specfile

HEAD = "train: my.module:train\nmetric: val_loss\nbudget: {trials: 5}\n"
MODEL = (
    "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 3\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n"
)


def in_space(lines: str) -> str:
    """A specification that is right but for these lines of its space, which begin in line 5, column 3."""
    return HEAD + "space:\n" + "".join(f"  {line}\n" for line in lines.split("\n"))


CASES: list[tuple[str | bytes, list[str]]] = [
    (
        "a: [1, 2\n",
        [
            "space.yaml:1:4: a list or mapping in brackets is not closed: expected ',' or ']', but got the end of the file",
        ],
    ),
    (
        "a: b: c\n",
        [
            "space.yaml:1:5: a `:` does not fit here; put text that holds `: ` in quotes, and check the indentation of this line",
        ],
    ),
    (
        "\ta: 1\n",
        [
            "space.yaml:1:1: a tab cannot indent or start a value here; use spaces",
        ],
    ),
    (
        "a\n",
        [
            "space.yaml:1:1: needs key: value lines, got 'a'",
        ],
    ),
    (
        "",
        [
            "space.yaml:1:1: the file is empty",
        ],
    ),
    (
        "# only a comment\n",
        [
            "space.yaml:1:1: the file is empty",
        ],
    ),
    (
        "- a\n- b\n",
        [
            "space.yaml:1:1: needs key: value lines, got ['a', 'b']",
        ],
    ),
    (
        "just text\n",
        [
            "space.yaml:1:1: needs key: value lines, got 'just text'",
        ],
    ),
    (
        "a: 'open\n",
        [
            "space.yaml:1:4: a quoted text is not closed",
        ],
    ),
    (
        "a: @x\n",
        [
            "space.yaml:1:4: found character '@' that cannot start any token; put it in quotes",
        ],
    ),
    (
        "a: {x: 1\n",
        [
            "space.yaml:1:4: a list or mapping in brackets is not closed: expected ',' or '}', but got the end of the file",
        ],
    ),
    (
        "a: 1\n---\nb: 2\n",
        [
            "space.yaml:2:1: one document a file; a second one begins here",
        ],
    ),
    (
        "%YAML 1.1\n---\na: 1\n",
        [
            "space.yaml:1:1: directives (%YAML, %TAG) are not used here",
            "space.yaml:3:1: metric is missing",
            "space.yaml:3:1: space is missing",
            "space.yaml:3:1: budget is missing",
            "space.yaml:3:1: a: unknown key",
            "space.yaml:3:1: exactly one of model, train, command is needed, got none",
        ],
    ),
    (
        "a: \x07\n",
        [
            "space.yaml:1:4: the character U+0007 is not allowed here",
        ],
    ),
    (
        b"\xff\xfea\x00",
        [
            "space.yaml:1:1: the file is UTF-16; save it as UTF-8",
        ],
    ),
    (
        b"a: \xe9\n",
        [
            "space.yaml:1:4: the byte 0xe9 is not UTF-8; save the file as UTF-8",
        ],
    ),
    (
        HEAD + "space: {lr: &a [1, 2]}\n",
        [
            "space.yaml:4:13: space.lr: anchors (&a) are not used here",
        ],
    ),
    (
        HEAD + "space: {lr: [1, 2], x: *a}\n",
        [
            "space.yaml:4:24: space.x: aliases (*a) are not used here; write the value out",
        ],
    ),
    (
        HEAD + "space: {lr: !!python/name:os.system x}\n",
        [
            'space.yaml:4:13: space.lr: tags (tag:yaml.org,2002:python/name:os.system) are not used here; quote the text if it begins with "!"',
        ],
    ),
    (
        HEAD + "space: {lr: [1, 2], <<: 3}\n",
        [
            "space.yaml:4:21: space: merges (<<) are not used here; write the entries out",
        ],
    ),
    (
        HEAD + "space: {lr: [1, 2]}\nmetric: val_acc\n",
        [
            "space.yaml:5:1: metric: the key appears twice (first in line 2)",
        ],
    ),
    (
        HEAD + "space: {lr: {float: [1, .inf]}}\n",
        [
            "space.yaml:4:25: space.lr.float[1]: .inf is not a finite number",
        ],
    ),
    (
        HEAD + "space: {n: {int: [1, 99999999999999999999]}}\n",
        [
            "space.yaml:4:22: space.n.int[1]: the number 99999999999999999999 is beyond 2^63",
        ],
    ),
    (
        HEAD + "space: {1: [a, b]}\n",
        [
            'space.yaml:4:9: space: a key must be text, got 1 (int); write "1"',
        ],
    ),
    (
        HEAD + "space: {[a]: 1}\n",
        [
            "space.yaml:4:9: space: a key must be text",
        ],
    ),
    (
        HEAD + "space: {n: {float: [1, 1e999]}}\n",
        [
            "space.yaml:4:24: space.n.float[1]: the number 1e999 is too large",
        ],
    ),
    (
        in_space("lr: {float: [0, 1.0], log: true}"),
        [
            "space.yaml:5:16: space.lr: log needs low > 0, got 0",
        ],
    ),
    (
        in_space("optimizer:\n  lr: {float: [0, 1.0], log: true}"),
        [
            "space.yaml:6:18: space.optimizer.lr: log needs low > 0, got 0",
        ],
    ),
    (
        in_space("lr: {float: [1, 0.1]}"),
        [
            "space.yaml:5:15: space.lr: float needs low < high, got [1, 0.1]",
        ],
    ),
    (
        in_space("lr: {float: [1, 1]}"),
        [
            "space.yaml:5:15: space.lr: float needs low < high, got [1, 1]",
        ],
    ),
    (
        in_space("lr: {float: [0.1]}"),
        [
            "space.yaml:5:15: space.lr.float: float takes [low, high], got [0.1]",
        ],
    ),
    (
        in_space("lr: {float: 0.1}"),
        [
            "space.yaml:5:15: space.lr.float: float takes [low, high], got 0.1",
        ],
    ),
    (
        in_space("lr: {float: [a, b]}"),
        [
            "space.yaml:5:16: space.lr.float[0]: needs a number, got 'a'",
            "space.yaml:5:19: space.lr.float[1]: needs a number, got 'b'",
        ],
    ),
    (
        in_space("lr: {flaot: [0, 1]}"),
        [
            "space.yaml:5:8: space.lr: needs one of float, int, choice, got 'flaot'; did you mean 'float'?",
        ],
    ),
    (
        in_space("lr: {min: 0, max: 1}"),
        [
            "space.yaml:5:8: space.lr: needs one of float, int, choice, got 'min'; write {float: [low, high]}, {int: [low, high]} or {choice: [a, b]}",
        ],
    ),
    (
        in_space("lr: {float: [0, 1], lgo: true}"),
        [
            "space.yaml:5:23: space.lr.lgo: float knows no 'lgo'; did you mean 'log'?",
        ],
    ),
    (
        in_space("lr: {float: [0, 1], log: yes}"),
        [
            "space.yaml:5:28: space.lr.log: needs true or false, got 'yes'",
        ],
    ),
    (
        in_space("lr: {float: [0, 1], step: 2}"),
        [
            "space.yaml:5:29: space.lr: step 2 is larger than the range [0, 1]",
        ],
    ),
    (
        in_space("lr: {float: [0, 1], step: 0}"),
        [
            "space.yaml:5:29: space.lr.step: must be above 0, got 0",
        ],
    ),
    (
        in_space("lr: {float: [0.1, 1], log: true, step: 0.1}"),
        [
            "space.yaml:5:42: space.lr: log and step cannot be combined",
        ],
    ),
    (
        in_space("lr: {float: [0, 1], default: 2}"),
        [
            "space.yaml:5:32: space.lr: default 2 is not in [0, 1]",
        ],
    ),
    (
        in_space("n: {int: [1, 2.5]}"),
        [
            "space.yaml:5:16: space.n.int[1]: needs a whole number, got 2.5",
        ],
    ),
    (
        in_space("n: {int: [1, 1e3]}"),
        [
            "space.yaml:5:16: space.n.int[1]: needs a whole number, got 1000.0; write 1000",
        ],
    ),
    (
        in_space("n: {int: [5, 1]}"),
        [
            "space.yaml:5:12: space.n: int needs low < high, got [5, 1]",
        ],
    ),
    (
        in_space("n: {int: [1, 9], step: 2, default: 4}"),
        [
            "space.yaml:5:38: space.n: default 4 is not in [1, 9] with step 2",
        ],
    ),
    (
        in_space("n: {int: [1, 18014398509481984]}"),
        [
            "space.yaml:5:16: space.n: int needs a whole number within 2^53 for high, got 18014398509481984",
        ],
    ),
    (
        in_space("n: {int: [1, true]}"),
        [
            "space.yaml:5:16: space.n.int[1]: needs a whole number, got true",
        ],
    ),
    (
        in_space("act: []"),
        [
            "space.yaml:5:8: space.act: a choice needs at least one value",
        ],
    ),
    (
        in_space("act: [relu, relu]"),
        [
            "space.yaml:5:8: space.act: a choice names a value twice: ['relu', 'relu']",
        ],
    ),
    (
        in_space("act: [relu, [gelu]]"),
        [
            "space.yaml:5:15: space.act[1]: a choice holds text, numbers, true, false or null, got ['gelu']; give it a name and look the value up in your code",
        ],
    ),
    (
        in_space("act: {choice: relu}"),
        [
            "space.yaml:5:17: space.act.choice: needs a list, got 'relu'",
        ],
    ),
    (
        in_space("act: {choice: [relu, gelu], default: rleu}"),
        [
            "space.yaml:5:40: space.act: default 'rleu' is not among ['relu', 'gelu']",
        ],
    ),
    (
        in_space("act: {choice: [a, b], log: true}"),
        [
            "space.yaml:5:25: space.act.log: choice knows no 'log' (it knows choice, ordered, default, when)",
        ],
    ),
    (
        in_space("act: {choice: [a], int: [1, 2]}"),
        [
            "space.yaml:5:9: space.act.choice: needs exactly one of float, int, choice, got int and choice",
        ],
    ),
    (
        in_space("act:"),
        [
            "space.yaml:5:3: space.act: has no value; write a list, {float: [low, high]}, {int: ...} or a constant",
        ],
    ),
    (
        in_space("g: {}"),
        [
            "space.yaml:5:6: space.g: an empty group; remove it or give it a parameter",
        ],
    ),
    (
        in_space("g:\n  h: {x: 1}"),
        [
            "space.yaml:6:8: space.g.h: needs one of float, int, choice, got {x: 1}; groups cannot hold groups",
        ],
    ),
    (
        in_space("a:\n  lr: 1\nb:\n  lr: 2"),
        [
            "space.yaml:8:5: space.b.lr: parameter names must be unique across groups (first in line 6)",
        ],
    ),
    (
        in_space("lr rate: 1"),
        [
            "space.yaml:5:3: space.lr rate: 'lr rate' cannot be a name; use letters, digits and _",
        ],
    ),
    (
        in_space("opt: [sgd, adam]\nm: {float: [0, 1], when: {opt: sdg}}"),
        [
            "space.yaml:6:34: space.m: when opt = 'sdg', but opt can never be that; did you mean 'sgd'?",
        ],
    ),
    (
        in_space("opt: [sgd, adam]\nm: {float: [0, 1], when: {otp: sgd}}"),
        [
            "space.yaml:6:34: space.m: when names 'otp', which is not a parameter; did you mean 'opt'?",
        ],
    ),
    (
        in_space("opt: [sgd, adam]\nm: {float: [0, 1], when: {opt: []}}"),
        [
            "space.yaml:6:34: space.m: when opt is one of nothing: the list is empty",
        ],
    ),
    (
        in_space("opt: [sgd, adam]\nm: {float: [0, 1], when: sgd}"),
        [
            "space.yaml:6:28: space.m.when: needs a mapping {key: value}, got 'sgd'",
        ],
    ),
    (
        in_space("a: {choice: [1, 2], when: {b: 1}}\nb: {choice: [1, 2], when: {a: 1}}"),
        [
            "space.yaml:5:29: space.a: when conditions go in a circle (a, b)",
        ],
    ),
    (
        in_space("a: {choice: [1, 2], when: {a: 1}}"),
        [
            "space.yaml:5:33: space.a: when cannot depend on itself",
        ],
    ),
    (
        in_space("n: {int: [1, 4]}\nm: {float: [0, 1], when: {n: [2, 9]}}"),
        [
            "space.yaml:6:32: space.m: when n = 9, but n can never be that; it lies in [1, 4]",
        ],
    ),
    (
        in_space("architecture: {use: 3}"),
        [
            "space.yaml:5:23: space.architecture.use: use takes the name of one preset, e.g. use: mlp",
        ],
    ),
    (
        HEAD + "space: {}\n",
        [
            "space.yaml:4:8: space: has no parameters",
        ],
    ),
    (
        HEAD + "space:\n",
        [
            "space.yaml:4:1: space: has no value; give one or remove the line",
        ],
    ),
    (
        HEAD + "space: [a]\n",
        [
            "space.yaml:4:8: space: needs a mapping {key: value}, got ['a']",
        ],
    ),
    (
        HEAD + "",
        [
            "space.yaml:1:1: space is missing",
        ],
    ),
    (
        "metric: val_loss\nbudget: {trials: 5}\nspace: {lr: [1, 2]}\n",
        [
            "space.yaml:1:1: exactly one of model, train, command is needed, got none",
        ],
    ),
    (
        MODEL + "train: a:b\n",
        [
            "space.yaml:7:1: train: exactly one of model, train, command is needed, got model and train",
        ],
    ),
    (
        "model: mlp\nmetric: val_accuracy\nepochs: 3\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:1:1: model: model needs data; data is missing",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: val_accuracy\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:1:1: model: model needs epochs, the length of a full trial; epochs is missing",
        ],
    ),
    (
        "model: mpl\ndata: digits\nmetric: val_accuracy\nepochs: 3\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:1:8: model: unknown model family 'mpl'; did you mean 'mlp'?",
        ],
    ),
    (
        "model: mlp\ndata: digits\nepochs: 3\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:1:1: metric is missing",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 3\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:1:1: budget is missing",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 3\nbudget: {}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:5:9: budget: needs at least one of trials, time, epochs",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 3\nbudget: {trails: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:5:10: budget.trails: unknown key; did you mean 'trials'?",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 3\nbudget: {trials: 0}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:5:18: budget.trials: must be at least 1, got 0",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 3\nbudget: {time: 10 parsecs}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:5:16: budget.time: needs a duration such as 90s, 10m or 1h30m, got '10 parsecs'",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 3\nbudget: {time: 0s}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:5:16: budget.time: needs a duration above 0, got '0s'",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 3\nbudget: {epochs: 5, steps: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:5:9: budget: epochs and steps are two names of one limit; give one of them",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: val_accuracy\nepohcs: 3\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:4:1: epohcs: unknown key; did you mean 'epochs'?",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: three\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:4:9: epochs: needs a whole number, got 'three'",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 1e2\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:4:9: epochs: needs a whole number, got 100.0; write 100",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: goodness\nepochs: 3\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:3:9: metric: lower or higher is better? write metric: {name: goodness, direction: minimize} (or maximize)",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: {name: val_accuracy, direction: up}\nepochs: 3\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:3:41: metric.direction: 'up' is none of minimize, maximize",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: {direction: minimize}\nepochs: 3\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:3:1: metric: name is missing",
        ],
    ),
    (
        MODEL + "strategy: gird\n",
        [
            "space.yaml:7:11: strategy: unknown strategy 'gird'; did you mean 'grid'?",
        ],
    ),
    (
        MODEL + "strategy: {name: grid, resolutoin: 3}\n",
        [
            "space.yaml:7:24: strategy.resolutoin: strategy 'grid' has no such option; did you mean 'resolution'?",
        ],
    ),
    (
        MODEL + "strategy: {name: grid, resolution: 0}\n",
        [
            "space.yaml:7:36: strategy.resolution: resolution must be at least 2, got 0",
        ],
    ),
    (
        MODEL + "stopper: ahsa\n",
        [
            "space.yaml:7:10: stopper: unknown stopper 'ahsa'; did you mean 'asha'?",
        ],
    ),
    (
        MODEL + "stopper: {name: asha, eta: 1}\n",
        [
            "space.yaml:7:28: stopper.eta: eta must be at least 2, got 1",
        ],
    ),
    (
        MODEL + "split: {train: 0.9}\n",
        [
            "space.yaml:7:8: split: train, val and test must add up to 1, got 1.4",
        ],
    ),
    (
        MODEL + "split: {train: 0.5, val: 0.25, tset: 0.25}\n",
        [
            "space.yaml:7:32: split.tset: unknown key; did you mean 'test'?",
        ],
    ),
    (
        MODEL + "seed: -1\n",
        [
            "space.yaml:7:7: seed: must be at least 0, got -1",
        ],
    ),
    (
        MODEL + "seed: x\n",
        [
            "space.yaml:7:7: seed: needs a whole number, got 'x'",
        ],
    ),
    (
        MODEL + "fuse: nevr\n",
        [
            "space.yaml:7:7: fuse: 'nevr' is none of auto, never, require; did you mean 'never'?",
        ],
    ),
    (
        MODEL + "finalists: {top: 0}\n",
        [
            "space.yaml:7:18: finalists.top: must be at least 1, got 0",
        ],
    ),
    (
        MODEL + "first: [{dpeth: 2}]\n",
        [
            "space.yaml:7:10: first[0].dpeth: is not a parameter of the space; did you mean 'depth'?",
        ],
    ),
    (
        MODEL + "first: [{depth: 9}]\n",
        [
            "space.yaml:7:17: first[0].depth: 9 is outside int [1, 3]",
        ],
    ),
    (
        MODEL + 'constraints: ["widht % 2 == 0"]\n',
        [
            "space.yaml:7:15: constraints[0]: 'widht' is not a parameter of the space",
        ],
    ),
    (
        MODEL + 'constraints: ["depth.__class__"]\n',
        [
            "space.yaml:7:15: constraints[0]: attribute is not allowed; only comparisons, arithmetic, and, or, not, in",
        ],
    ),
    (
        MODEL + 'constraints: ["depth =="]\n',
        [
            "space.yaml:7:15: constraints[0]: 'depth ==' is no expression, e.g. width % heads == 0",
        ],
    ),
    (
        MODEL + "trial_timeout: soon\n",
        [
            "space.yaml:7:16: trial_timeout: needs a duration such as 90s, 10m or 1h30m, got 'soon'",
        ],
    ),
    (
        MODEL + "workers: 0\n",
        [
            "space.yaml:7:10: workers: must be at least 1, got 0",
        ],
    ),
    (
        MODEL + "value: bset\n",
        [
            "space.yaml:7:8: value: 'bset' is none of last, best; did you mean 'best'?",
        ],
    ),
    (
        MODEL + "study:\n",
        [
            "space.yaml:7:1: study: has no value; give one or remove the line",
        ],
    ),
    (
        MODEL + "parametrization: mup\nfidelity: {depth: [1, 2], widht: [1, 2]}\nfinalists: none\n",
        [
            "space.yaml:8:1: fidelity: finalists are what is trained at the high end: it needs them",
            "space.yaml:8:27: fidelity.widht: is not a parameter of the space",
        ],
    ),
    (
        MODEL + "fidelity: {width: [128, 1024]}\n",
        [
            "space.yaml:7:12: fidelity.width: hyperparameters found on a narrow model hold for a wide one under "
            "`parametrization: mup` alone: add that line",
        ],
    ),
    (
        MODEL + "parametrization: mup\nfidelity: {width: [1024, 128]}\n",
        [
            "space.yaml:8:19: fidelity.width: needs low < high, got [1024, 128]",
        ],
    ),
    (
        "train: my.module\nmetric: val_loss\nbudget: {trials: 5}\nspace: {lr: [1, 2]}\n",
        [
            "space.yaml:1:8: train: takes package.module:function, got 'my.module'",
        ],
    ),
    (
        "command: python train.py\nmetric: val_loss\nbudget: {trials: 5}\nspace: {lr: [1, 2]}\n",
        [
            "space.yaml:1:10: command: needs a list of words, got 'python train.py'; write [python, train.py]",
        ],
    ),
    (
        "command: [python, train.py, '--lr={rl}']\nmetric: val_loss\nbudget: {trials: 5}\nspace: {lr: [1, 2]}\n",
        [
            "space.yaml:1:29: command[2]: {rl} is not a parameter of the space",
        ],
    ),
    (
        HEAD + "target: y\nspace: {lr: [1, 2]}\n",
        [
            "space.yaml:4:1: target: target goes with model, but this spec has train, which brings its own",
        ],
    ),
    (
        "trian: my.module:train\nmetric: val_loss\nbudget: {trials: 5}\nspace: {lr: [1, 2]}\n",
        [
            "space.yaml:1:1: trian: unknown key; did you mean 'train'?",
        ],
    ),
    (
        MODEL + "strategy: 3\n",
        [
            "space.yaml:7:11: strategy: needs a name, or {name: ...}, got 3",
        ],
    ),
    (
        MODEL + "finalists: 3\n",
        [
            "space.yaml:7:12: finalists: needs none or {top: 5, seeds: 3}, got 3",
        ],
    ),
    (
        MODEL + "stopper: {eta: 3}\n",
        [
            "space.yaml:7:1: stopper: name is missing",
        ],
    ),
    (
        MODEL + "unknown: 1\n",
        [
            "space.yaml:7:1: unknown: unknown key",
        ],
    ),
    (
        MODEL + "patience: 5\nvalue: last\n",
        ["space.yaml:8:8: value: patience keeps the best epoch: value is best with it, got last"],
    ),
    (
        HEAD + "space: {a: [1, 2]}\npatience: 5\n",
        [
            "space.yaml:5:1: patience: patience goes with model, but this spec has train, which brings its own",
        ],
    ),
    (
        MODEL + "oom: {a: 1}\n",
        [
            "space.yaml:7:6: oom: {a: 1} is none of fail, accumulate, halve_batch",
        ],
    ),
    (
        MODEL + "parallel: both\n",
        [
            "space.yaml:7:11: parallel: 'both' is none of auto, replicate, shard",
        ],
    ),
    (
        MODEL + "parallel: shard\nresources: {gpus: 1}\n",
        [
            "space.yaml:7:11: parallel: shard is for trials on several devices, as with resources: {gpus: 2}",
        ],
    ),
    (
        MODEL + "parallel: shard\nexecutor: {name: local, gpus: 2}\ncompile: true\n",
        [
            "space.yaml:9:10: compile: a sharded model is not compiled; take compile: never or parallel: replicate",
        ],
    ),
    (
        MODEL + "resources: {gpus: -1}\n",
        [
            "space.yaml:7:19: resources.gpus: must be at least 0, got -1",
        ],
    ),
    (
        MODEL + "compile: sometimes\n",
        [
            "space.yaml:7:10: compile: 'sometimes' is none of auto, never, always",
        ],
    ),
    (
        MODEL + "split: {train: 0.5, val: 0.25, test: 0.25, group: g, time: t}\n",
        [
            "space.yaml:7:8: split: group and time cannot be combined",
        ],
    ),
    (
        in_space("lr: {float: [1e-4, 1], when: {n: 1}, log: on}\nn: [1, 2]"),
        [
            "space.yaml:5:45: space.lr.log: needs true or false, got 'on'",
        ],
    ),
    (
        in_space("lr: {float: [.nan, 1]}"),
        [
            "space.yaml:5:16: space.lr.float[0]: .nan is not a finite number",
        ],
    ),
    (
        in_space("lr: [1, .inf]"),
        [
            "space.yaml:5:11: space.lr[1]: .inf is not a finite number",
        ],
    ),
    (
        in_space('a: {choice: [1, true, "1", 1.0]}'),
        [
            "space.yaml:5:15: space.a: a choice names a value twice: [1, True, '1', 1.0]",
        ],
    ),
    (
        "model: mlp\n  x: y\ndata: digits\nmetric: val_accuracy\nepochs: 3\nbudget: {trials: 5}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:2:4: a `:` does not fit here; put text that holds `: ` in quotes, and check the indentation of this line",
        ],
    ),
    (
        "a: 1\n b: 2\n",
        [
            "space.yaml:2:3: a `:` does not fit here; put text that holds `: ` in quotes, and check the indentation of this line",
        ],
    ),
    (
        "a:\n  - b\n c: 1\n",
        [
            "space.yaml:3:2: this line does not fit the lines above it; check the indentation",
        ],
    ),
    (
        "? a\n: b\n- c\n",
        [
            "space.yaml:3:1: this line does not fit the lines above it; check the indentation",
        ],
    ),
    (
        "{}\n",
        [
            "space.yaml:1:1: metric is missing",
            "space.yaml:1:1: space is missing",
            "space.yaml:1:1: budget is missing",
            "space.yaml:1:1: exactly one of model, train, command is needed, got none",
        ],
    ),
    (
        "null\n",
        [
            "space.yaml:1:1: the file is empty",
        ],
    ),
    (
        "3\n",
        [
            "space.yaml:1:1: needs key: value lines, got 3",
        ],
    ),
    (
        "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 3\nbudget: {trials: 5, time: 10m, epochs: 0x}\nspace: {depth: {int: [1, 3]}}\n",
        [
            "space.yaml:5:40: budget.epochs: needs a whole number, got '0x'",
        ],
    ),
    (
        MODEL + "'': 3\n",
        [
            "space.yaml:7:1: unknown key",
        ],
    ),
    (
        HEAD
        + "space: {lr: {float: [0, 1], log: true}, n: {int: [3, 1]}, act: [], m: {float: [0, 1], when: {k: 1}}}\nsed: 3\n",
        [
            "space.yaml:4:22: space.lr: log needs low > 0, got 0",
            "space.yaml:4:50: space.n: int needs low < high, got [3, 1]",
            "space.yaml:4:64: space.act: a choice needs at least one value",
            "space.yaml:4:97: space.m: when names 'k', which is not a parameter",
            "space.yaml:5:1: sed: unknown key; did you mean 'seed'?",
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_told(text: str | bytes, expected: list[str]) -> None:
    with pytest.raises(specfile.InvalidSpec) as caught:
        specfile.parse(text, "space.yaml")
    assert [str(complaint) for complaint in caught.value.complaints] == expected
    for line in expected:
        assert line in str(caught.value)


def test_the_line_and_a_caret_are_shown() -> None:
    with pytest.raises(specfile.InvalidSpec) as caught:
        specfile.parse(in_space("optimizer:\n  lr: {float: [0, 1.0], log: true}"), "space.yaml")
    assert str(caught.value) == (
        "space.yaml:6:18: space.optimizer.lr: log needs low > 0, got 0\n"
        "      lr: {float: [0, 1.0], log: true}\n"
        "                   ^"
    )
    assert caught.value.exit_code == 2


def test_at_most_twenty_are_shown() -> None:
    with pytest.raises(specfile.InvalidSpec) as caught:
        specfile.parse(in_space("\n".join(f"p{k}: []" for k in range(30))), "space.yaml")
    assert len(caught.value.complaints) == 30
    assert str(caught.value).count("a choice needs at least one value") == 20
    assert str(caught.value).endswith("... and 10 more")


def test_a_hostile_name_cannot_drive_the_terminal() -> None:
    with pytest.raises(specfile.InvalidSpec) as caught:
        specfile.parse(HEAD + 'space: {lr: [1, 2]}\n"\\e[31mred\\a": 1\n', "sp\x1bace.yaml")
    assert "\x1b" not in str(caught.value)
    assert "\x07" not in str(caught.value)


def test_a_long_line_is_shown_around_its_caret() -> None:
    text = HEAD + "space: {" + ", ".join(f"p{k}: [1, 2]" for k in range(50)) + ", bad: []}\n"
    with pytest.raises(specfile.InvalidSpec) as caught:
        specfile.parse(text, "space.yaml")
    _, line, caret = str(caught.value).split("\n")
    assert len(line) < 120
    assert line[caret.index("^") :].startswith("[]}")
