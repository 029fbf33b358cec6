"""Pages that are written from the code say what the code says."""

import importlib.util
import re

import pytest
import typer

from automl import errors, specfile
from automl.cli.app import app
from automl.specfile import grammar
from tests.support.paths import DOCS

CLI = DOCS.parent / "automl" / "cli"


@pytest.mark.parametrize(("writer", "page"), [("commands.py", "cli.md"), ("spec.py", "spec.md")])
def test_the_reference_is_current(writer, page):
    found = importlib.util.spec_from_file_location(writer.removesuffix(".py"), DOCS / writer)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert (DOCS / page).read_text(encoding="utf-8") == module.reference(), f"run: python docs/{writer}"


def test_the_picture_of_the_layers_and_the_ways_are_current():
    found = importlib.util.spec_from_file_location("architecture", DOCS / "architecture.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert module.PICTURE.read_text() == module.picture(), "run: python docs/architecture.py"
    assert module.PAGE.read_text() == module.page(), "run: python docs/architecture.py"


def test_every_command_option_and_exit_code_is_in_the_reference():
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    missing, commands = [], [("automl", typer.main.get_command(app))]
    for name, command in commands:
        inner = getattr(command, "commands", {})
        commands += [(f"{name} {further}", one) for further, one in inner.items() if not one.hidden]
        missing += [name for _ in "." if not inner and f"## {name}\n" not in page]
        section = page if name == "automl" else page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        options = [o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")]
        missing += [f"{name} {o}" for o in options if o not in section and o != "--help"]
    assert missing == []
    raised = {one.exit_code for one in vars(errors).values() if isinstance(one, type) and hasattr(one, "exit_code")}
    used = {int(code) for path in CLI.rglob("*.py") for code in re.findall(r"[Ee]xit\((\d+)\)", path.read_text())}
    listed = {int(code) for code in re.findall(r"^\| (\d+) \| ", page, re.MULTILINE)}
    assert raised | used | {0, 130, 143} == listed


MODELS = [m for m in vars(grammar).values() if isinstance(m, type) and issubclass(m, grammar.Strict) and m.model_fields]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_every_key_of_a_spec_is_explained(model):
    assert model.__doc__
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_the_example_is_a_spec():
    example, *_ = re.findall(r"^```yaml\n(.*?)^```", (DOCS / "spec.md").read_text(), re.MULTILINE | re.DOTALL)
    read = specfile.parse(example, "space.yaml")
    assert read.space.constants["clip"] == 1.0
    assert {"width", "depth", "momentum"} <= set(read.space.params)
