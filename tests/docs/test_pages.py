"""The pages for newcomers do what they say: blocks with a title are files, Python is run, commands are typed."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.commands import TYPED, run
from tests.support.paths import DOCS, ROOT

BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = ("tutorial.md", "coming_from.md", "howto/plugins.md", "howto/gpus.md", "howto/resume.md", "howto/report.md",
         "howto/debug.md", "howto/watch.md")  # fmt: skip
NEW = (*PAGES, "concepts.md", "reference.md", "judge.md", "agents.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path) -> None:
    if page == "howto/report.md":
        pytest.importorskip("matplotlib")
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    for _, title, code in blocks:
        if title:
            (tmp_path / title).write_text(code)
    for kind, title, code in blocks:
        if not title and kind == "python":
            run([sys.executable, "-c", code], tmp_path)
        elif not title and kind == "bash":
            for line in filter(None, (line.split("  #")[0].strip() for line in code.splitlines())):
                run(line, tmp_path)


@pytest.mark.slow
def test_the_plugins_of_the_page_keep_the_contracts(tmp_path: Path) -> None:
    for _, title, code in BLOCK.findall((DOCS / "howto" / "plugins.md").read_text(encoding="utf-8")):
        if title.endswith(".py"):
            (tmp_path / title).write_text(code)
    few = "membership or same_history or batch_of_64 or only_read or all_failed or equal"
    run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", few, "test_mine.py"], tmp_path)


def test_every_block_is_of_a_known_kind_and_commands_exist() -> None:
    import typer

    from automl.cli.app import app

    root = typer.main.get_command(app)
    commands = set(getattr(root, "commands", {}))
    for page in NEW:
        for kind, title, code in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
            assert kind in {"yaml", "bash", "python", "toml", "text", "json"}, (page, kind)
            if kind == "python":
                compile(code, page, "exec")
            if kind == "bash" and not title:
                for line in code.splitlines():
                    words = shlex.split(line, comments=True)
                    assert not words or words[0] != "automl" or words[1] in commands, (page, line)


def test_links_of_the_pages_lead_somewhere_and_they_are_in_the_navigation() -> None:
    for page in (*(path.relative_to(DOCS).as_posix() for path in DOCS.glob("**/*.md")), "llms.txt"):
        for link in re.findall(r"\]\(([^)#:]+)\)", (DOCS / page).read_text(encoding="utf-8")):
            assert ((DOCS / page).parent / link).exists(), (page, link)
    listed = (ROOT / "mkdocs.yml").read_text()
    assert [page for page in NEW if page not in listed] == []
    assert yaml.safe_load(listed)["strict"] is True


def test_every_public_name_has_an_entry_in_the_reference() -> None:
    import automl

    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    for name in automl.__all__:
        assert re.search(rf"^::: automl\.[\w.]+\.{name}$", page, re.MULTILINE) or name == "AutoMLError", name


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    made = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env={**TYPED, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert "WARNING" not in made.stderr
    page = (tmp_path / "site" / "reference.html").read_text()
    assert "automl.judging.judge.judge" in page
    assert "Train both sides on the same fresh seeds" in page
