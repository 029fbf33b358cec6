import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from automl import specfile
from automl.core.space import Choice, Float, Int
from automl.core.trial import Failure
from automl.data.summary.facts import FACT, ClassFacts, ColumnFacts, Summary, TargetFacts
from automl.errors import DataError, SpecError
from automl.study.study import Study
from automl.view.pages import compare as comparing
from automl.view.pages.doctor import Finding, examine
from automl.view.pages.starter import quoted, starter

pytest.importorskip("matplotlib")

from automl.view import figures
from automl.view.figures.trust import correlations, spearman
from automl.view.pages.report import report

EVIL = '</svg><script>alert("1")</script>$x^2$'


def searched(path, trials=60, *, seed=1, steps=6, name="farm", stop=0.3):
    """A study by ask and tell; a third stops early, one in fifteen fails, one choice is hostile text."""
    space = {
        "net": {"width": Int(8, 256, log=True), "act": Choice(("relu", EVIL, "größe空"))},
        "lr": Float(1e-4, 1.0, log=True),
        "opt": Choice(("sgd", "adam")),
        "momentum": Float(0.5, 0.99, when={"opt": ("sgd",)}),
    }
    rng = np.random.default_rng(seed)
    study = Study(space, metric="val_loss", trials=trials, seed=seed, path=path, name=name, stopper="none")
    while (trial := study.ask()) is not None:
        floor = (np.log10(trial["lr"]) + 2) ** 2 + 0.1 * (np.log2(trial["width"]) - 6) ** 2
        if trial.number % 15 == 14:
            study.fail(trial, Failure("exception", EVIL, 1, f"trials/{trial.number}.txt"))
            continue
        for step in range(1, steps + 1):
            study.report(trial, step, {"val_loss": float(floor + 2.0 / step + rng.normal(0, 0.01)), EVIL: 1.0})
            if step == 2 and rng.random() < stop:
                study._end(trial.number, study.history.trials[0].state.__class__.STOPPED, reason=f"worse {EVIL}")
                break
        study.finish(trial)
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with searched(tmp_path_factory.mktemp("studies") / "farm") as made:
        yield made


@pytest.fixture(scope="module")
def page(study):
    """The report of the study."""
    return report(study)


class Tags(HTMLParser):
    """Collects tags, and text outside of scripts and styles."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


def test_the_report_is_one_closed_file(page):
    tags = Tags()
    tags.feed(page)
    assert tags.tags.count("script") == 1, "what a user wrote is text"
    assert len(page) < 2**20
    assert any("default-src 'none'" in (v or "") for _, v in tags.attributes)
    for name, value in tags.attributes:
        assert not name.startswith("on"), name
        if name in ("src", "href", "xlink:href"):
            assert value.startswith(("#", "data:image/png;base64,")), value
    assert not re.search(r"https?://(?!www\.w3\.org)", page), "no network"
    assert "\x1b" not in page


def test_ids_of_the_pictures_do_not_clash(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    referred = set(re.findall(r'xlink:href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert referred <= set(ids)


def test_the_report_tells_winner_failures_and_spec(study, page):
    best = study.best
    assert f"t{best.number:04d}" in page
    assert "exception" in page
    assert page.count("<section") == len(figures.KINDS) - 1, "there is one objective, so no front"
    assert page.count("Not shown: ") == 3, "no finalists, no saved model, and nothing was compressed"
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("kind", [k for k in figures.KINDS if k not in ("front", "seeds", "errors", "compression")])
def test_each_picture_can_be_drawn_and_saved(study, kind, tmp_path):
    made = figures.draw(kind, study)
    for ending in ("png", "svg"):
        figures.save(made, tmp_path / f"{kind}.{ending}")
        assert (tmp_path / f"{kind}.{ending}").stat().st_size > 1000
    text = figures.svg(made)
    assert text.startswith("<svg")
    assert "<script" not in text
    with pytest.raises(SpecError, match="docx"):
        figures.save(made, tmp_path / "x.docx")


def test_same_study_same_picture(study):
    assert figures.svg(figures.draw("history", study)) == figures.svg(figures.draw("history", study))


@pytest.mark.slow
def test_a_large_study_stays_below_a_megabyte(tmp_path):
    with searched(None, 1500, steps=3) as large:
        assert len(report(large)) < 2**20


@pytest.mark.parametrize("trials", [0, 1, 3])
def test_a_study_with_almost_nothing_has_a_report(trials):
    space = {"lr": Float(0.0, 1.0)}
    with Study(space, metric="val_loss", trials=10) as small:
        for _ in range(trials):
            small.tell(small.ask(), val_loss=0.5)
        page = report(small)
    assert page.count("Not shown") >= 5


def test_unknown_pictures_are_told_with_the_nearest(study):
    with pytest.raises(SpecError, match="did you mean 'history'"):
        figures.draw("histroy", study)


def test_spearman_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    a = rng.integers(0, 8, 50).astype(float)
    b = a + rng.normal(0, 2, 50)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert spearman(a, np.ones(50)) == 0.0


def test_rung_correlations(study):
    found = correlations(study.history)
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    assert found[6][0] == pytest.approx(1.0)
    assert all(n == len(study.history.done) for _, n in found.values())


# -- compare -----------------------------------------------------------------------------------------------------------


def test_compare_puts_studies_on_one_axis():
    with searched(None, 40, seed=1, name="a") as a, searched(None, 20, seed=2, name="b", stop=0.0) as b:
        compared = comparing.compare([a, b])
        text = comparing.text(compared)
    total = min(a.history.steps_spent, b.history.steps_spent)
    assert compared["epochs"][-1] <= total
    for row, study in zip(compared["studies"], (a, b), strict=True):
        assert row["best"]["trial"] == study.best.number
        seen = [v for v in row["at"] if v is not None]
        assert seen == sorted(seen, reverse=True), "the best only gets better"
        assert seen[-1] >= row["best"]["value"]
    for s in compared["sooner"]:
        assert s["epochs"] < s["of"]
    assert text.splitlines()[1].split()[:1] == ["study"]


def test_compare_refuses_different_metrics():
    with (
        Study({"x": Float(0, 1)}, metric="val_loss", trials=1) as a,
        Study({"x": Float(0, 1)}, metric="val_accuracy", trials=1) as b,
        pytest.raises(SpecError, match="val_accuracy"),
    ):
        comparing.compare([a, b])


# -- doctor ------------------------------------------------------------------------------------------------------------


def test_doctor_looks_at_everything(tmp_path):
    findings = {f.what: f for f in examine(tmp_path / "studies")}
    for what in ("python", "torch", "sqlite", "cpu", "memory", "disk", "write access", "strategies"):
        assert what in findings
    assert "random" in findings["strategies"].found
    assert all(isinstance(f, Finding) and f.level in ("ok", "note", "problem") for f in findings.values())
    assert not (tmp_path / "studies").exists()


# -- init --------------------------------------------------------------------------------------------------------------


def table(folder: Path, target: list, name="some table.csv"):
    out = io.StringIO()
    csv.writer(out).writerows([["a", "b c", "y"], *([k, f"w{k % 3}", t] for k, t in enumerate(target))])
    (folder / name).write_text(out.getvalue(), encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("target", "metric"),
    [
        (["yes", "no"] * 20, "val_accuracy"),
        ([k % 3 for k in range(40)], "val_accuracy"),
        ([k * 0.37 for k in range(40)], "val_rmse"),
        (list(range(40)), "val_rmse"),
        ([1.0, 2.0] * 20, "val_accuracy"),
    ],
)
def test_init_writes_a_valid_spec_for_a_table(tmp_path, target, metric):
    text = starter(table(tmp_path, target), study="some table", folder=tmp_path)
    read = specfile.parse(text, "space.yaml")
    assert read.metric.name == metric
    assert read.target == "y"
    assert read.data == "some table.csv"


def test_init_without_a_table_is_the_digits():
    assert specfile.parse(starter(), "space.yaml").data == "digits"


def test_init_names_near_columns(tmp_path):
    with pytest.raises(DataError, match="did you mean 'b c'"):
        starter(table(tmp_path, [1, 2]), "b_c")
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        starter(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "text", ["no", "1e3", "a: b", "#x", "größe", "-x", "", "x", "true", "a/b.csv", '"', "\x1b", "1.5"]
)
def test_quoted_text_is_read_as_that_text(text):
    from automl.specfile.yaml.events import load

    document = load(f"key: {quoted(text)}\n", "x")
    assert not document.complaints
    assert document.value == {"key": text}


def test_what_was_decided_about_the_data_is_a_section_and_stays_text(study, page):
    column = ColumnFacts(EVIL, "left out", "category", 0, 3, examples=(EVIL,), note=EVIL)
    target = TargetFacts("y", "classification", (ClassFacts(EVIL, 9, 8), ClassFacts("b", 1, 1)), 2, 1)
    summary = Summary({"train": 6, "val": 2, "test": 2}, 1, target, columns=(column,), unused=1, leaks={EVIL: EVIL})
    assert 'id="data"' not in page
    study.facts[FACT] = summary.to_json()
    try:
        page = report(study)
    finally:
        del study.facts[FACT]
    section = re.search(r'<section id="data">.*?</section>', page, re.DOTALL)[0]
    assert "10 (6 train, 2 val, 2 test); 1 row left out" in section
    assert "1 class has fewer than 5 training rows" in section
    assert "<script>alert" not in page
