"""`--json`: every command that tells facts has it, stdout is one document then, and errors have stable codes."""

import json

import pytest
import typer
from jsonschema import Draft202012Validator

from automl import errors
from automl.cli import code_of
from automl.cli.app import app
from automl.cli.outputs import schemas
from automl.core.space import Float
from automl.driver.signals import Interrupted
from automl.study.study import Study

WITHOUT = {"schema", "serve", "mcp"}
"""Commands that print a document anyway, or run until they are ended."""


def commands(command=None, above=""):
    """{name: command} of all that are listed; those of a group by both names, `cluster slurm`."""
    found = {}
    for name, one in (command or typer.main.get_command(app)).commands.items():
        if getattr(one, "commands", None):
            found |= commands(one, f"{name} ")
        elif not one.hidden:
            found[above + name] = one
    return found


def test_every_command_that_prints_facts_takes_json():
    missing = [n for n, one in commands().items() if n not in WITHOUT and "--json" not in
               {o for p in one.params for o in p.opts}]  # fmt: skip
    assert missing == []


def test_every_command_that_takes_json_has_a_schema():
    own = {n for n, one in commands().items() if any("--json" in p.opts for p in one.params)}
    assert set(schemas.types()) == own


@pytest.mark.parametrize("command", sorted(schemas.types()))
def test_a_schema_is_one_and_takes_errors_but_not_anything(run, command):
    code, out, _ = run("schema", *command.split())
    assert code == 0
    made = json.loads(out)
    Draft202012Validator.check_schema(made)
    valid = Draft202012Validator(made).is_valid
    assert valid({"schema": 1, "ok": False, "error": {"code": "usage", "message": "", "exit_code": 2}})
    assert not valid({})
    assert not valid({"schema": 2, "ok": False, "error": {"code": "usage", "message": "", "exit_code": 2}})


def test_a_document_that_lacks_a_name_or_has_another_type_does_not_fit():
    row = {"rank": 1, "trial": 0, "state": "done", "value": 0.5, "step": 1, "config": {}, "seconds": None,
           "best": True, "reason": ""}  # fmt: skip
    board = {"schema": 1, "metric": "loss", "direction": "minimize", "trials": 1, "rows": [row]}
    valid = Draft202012Validator(schemas.schema("top")).is_valid
    assert valid(board)
    assert not valid({**board, "rows": [{**row, "trial": "0"}]})
    assert not valid({**board, "rows": [{k: v for k, v in row.items() if k != "state"}]})
    assert valid({**board, "later": 1})  # names may be added


def test_an_unknown_command_has_no_schema(run):
    code, _, err = run("schema", "tpo")
    assert (code, "did you mean 'top'?" in err) == (2, True)


@pytest.fixture
def study(tmp_path):
    with Study({"x": Float(0, 1)}, metric="val_loss", trials=4, path=tmp_path / "studies" / "one") as made:
        while (trial := made.ask()) is not None:
            made.tell(trial, val_loss=trial["x"])


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["spaces"], "spaces"),
        (["spaces", "digits"], "text"),
        (["strategies"], "strategies"),
        (["init", "new"], "files"),
        (["export", "one", "--csv", "all.csv"], "files"),
        (["top", "one"], "trials"),
        (["show", "one", "0"], "trial"),
        (["validate", "digits"], "ok"),
        (["repair", "one", "--out", "mended"], "trials"),
    ],
)
def test_the_answer_is_one_document(run, study, words, key):
    code, out, _ = run(*words, "--json")
    assert code == 0
    assert key in json.loads(out)


@pytest.mark.parametrize(
    ("words", "exit_code", "name"),
    [
        (["top", "nothing"], 2, "spec_error"),
        (["top", "one", "--rows", "many"], 2, "usage"),
        (["show", "one", "x"], 2, "usage"),
        (["nonsense"], 2, "usage"),
        (["show", "one", "99"], 2, "spec_error"),
        (["judge", "one"], 2, "usage"),
        (["search", "digits", "--strategy", "nonsense"], 2, "spec_error"),
        (["predict", "one", "rows.csv"], 3, "bundle_error"),
    ],
)
def test_an_error_is_one_document_with_a_stable_code(run, study, words, exit_code, name):
    code, out, err = run(*words, "--json")
    document = json.loads(out)
    assert (code, document["ok"], document["error"]["code"]) == (exit_code, False, name)
    assert document["error"]["exit_code"] == exit_code
    assert document["error"]["message"].splitlines()[0] in err


def test_every_error_of_ours_has_a_code_of_its_own():
    kinds = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.AutoMLError)]
    codes = [code_of(kind("x")) for kind in kinds]
    assert len(set(codes)) == len(codes)
    assert {"spec_error", "unknown_plugin", "data_error", "task_error", "ledger_error", "search_failed"} <= set(codes)
    assert code_of(Interrupted("x", 130)) == "interrupted"
    assert code_of(KeyError("x")) == "unexpected"
    assert code_of(OSError("x")) == "environment_problem"
