"""Pages that are written from the code say what the code says."""

import importlib.util
import re
from pathlib import Path

import pytest

from automl import spec
from automl.spec import models

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(("writer", "page"), [("commands.py", "cli.md"), ("spec.py", "spec.md")])
def test_the_reference_is_current(writer, page):
    found = importlib.util.spec_from_file_location(writer.removesuffix(".py"), DOCS / writer)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert (DOCS / page).read_text(encoding="utf-8") == module.reference(), f"run: python docs/{writer}"


MODELS = [m for m in vars(models).values() if isinstance(m, type) and issubclass(m, models.Strict) and m.model_fields]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_every_key_of_a_spec_is_explained(model):
    assert model.__doc__
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_the_example_is_a_spec():
    (example,) = re.findall(r"^```yaml\n(.*?)^```", (DOCS / "spec.md").read_text(), re.MULTILINE | re.DOTALL)
    read = spec.parse(example, "space.yaml")
    assert read.space.constants["clip"] == 1.0
    assert {"width", "depth", "momentum"} <= set(read.space.params)
