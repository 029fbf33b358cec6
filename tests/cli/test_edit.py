"""`automl edit`: options become a request, and mistakes are told."""

import json

import automl


def study(trials=4):
    with automl.Study(
        {"lr": automl.Float(1e-4, 1, log=True), "opt": ["adam", "sgd"]},
        metric="loss", strategy="random", trials=trials, path="studies/s",
    ) as begun:  # fmt: skip
        trial = begun.ask()
        begun.tell(trial, loss=0.5)
        return begun.history


def test_edit_writes_requests_that_the_next_session_carries_out(run, tmp_path):
    study()
    (tmp_path / "c.yaml").write_text("- lr: 0.02\n- {lr: 0.03, opt: sgd}\n")
    code, out, _ = run(
        "edit", "s", "--add", "c.yaml", "--budget", "+3", "--narrow", "lr=1e-3..1e-1", "--narrow", "opt=sgd"
    )
    assert code == 0
    assert "the budget of trials is 7 now" in out
    assert "lr is limited to [0.001, 0.1]" in out
    assert "automl resume" in out
    (file,) = (tmp_path / "studies" / "s" / "inbox").iterdir()
    request = json.loads(file.read_text())
    assert request["add"] == [{"lr": 0.02}, {"lr": 0.03, "opt": "sgd"}]
    assert request["narrow"] == {"lr": [0.001, 0.1], "opt": ["sgd"]}


def test_mistakes_are_told_with_their_place(run, tmp_path):
    study()
    (tmp_path / "bad.yaml").write_text("lr: [\n")
    for arguments, message in [
        (["--stop", "9"], "stop: there is no trial 9; trials are 0 to 0"),
        (["--narrow", "lrr=1..2"], "narrow: 'lrr' is not a parameter; did you mean 'lr'?"),
        (["--narrow", "lr"], "narrow: 'lr' is not NAME=LOW..HIGH or NAME=VALUE,VALUE"),
        (["--add", "no.yaml"], "no.yaml: cannot be read: No such file"),
        (["--add", "bad.yaml"], "bad.yaml:"),
        (["--budget", "more"], "budget: needs a number such as 200 or +50"),
        ([], "nothing is asked for"),
    ]:
        code, _, err = run("edit", "s", *arguments)
        assert code == 2, arguments
        assert message in err
    assert run("edit", "t", "--pause")[0] == 2


def test_json(run):
    study()
    code, out, _ = run("edit", "s", "--pause", "--json")
    assert code == 0
    assert json.loads(out)["done"][0].startswith("paused")
