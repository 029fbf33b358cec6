"""What tests of several modules share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets (`AUTOML_DATA`, else `shared/data` beside the repository); skips without it."""
    given = os.environ.get("AUTOML_DATA")
    folder = Path(given) if given else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}; set AUTOML_DATA to it")
    return folder
