"""What tests of several modules share."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from tests.support.golden import Golden
from tests.support.json_schemas import check_document

STATE = "XDG_STATE_HOME"
"""Where the machine's key lies, see `automl.api.trust`; workers of xdist inherit it."""
ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--record-wording`: write the golden files instead of comparing with them."""
    parser.addoption("--record-wording", action="store_true", help="write messages and screens into golden files anew")


def pytest_configure(config: pytest.Config) -> None:
    """Recording rewrites files that several tests share, so it runs in one process. No test writes into the home.

    A shell has the programs that it starts in the background ignore Ctrl-C, and so what they start: tests send it.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not os.environ.get(STATE):
        folder = tempfile.mkdtemp(prefix="automl-tests-")
        os.environ[STATE] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    if config.getoption("--record-wording") and config.getoption("numprocesses", None):
        raise pytest.UsageError("--record-wording runs in one process: leave -n out")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden files beside the test's module; see `tests/support/golden.py`."""
    return Golden(request.path.parent / "golden", record=request.config.getoption("--record-wording"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets (`AUTOML_DATA`, else `shared/data` beside the repository); skips without it."""
    given = os.environ.get("AUTOML_DATA")
    folder = Path(given) if given else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}; set AUTOML_DATA to it")
    return folder


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Runs a command in an empty folder: (exit code, stdout, stderr). What `--json` prints must fit its schema."""
    from automl.cli import main, progress

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "LATE_S", 60.0)  # what is printed does not depend on how fast the machine is
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        if "--json" in arguments:
            check_document(arguments, out)
        return ended.value.code or 0, out, err

    return call


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which tables are prepared, one of the test's own."""
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
