"""Every family on real data through a whole search, beside simple baselines on the same hold-out rows.

    OMP_NUM_THREADS=1 python benchmarks/families.py                      # all of benchmarks/families/*.yaml
    OMP_NUM_THREADS=1 python benchmarks/families.py digits_mlp trec_lstm --json families.json

Each spec is searched as `automl search benchmarks/families/NAME.yaml` would be (one worker, in this process), finalists
and the one look at the test part included. Baselines get the same preparation, training rows and validation rows (to
choose their one setting by) and are scored on the same test rows: logistic or ridge regression and boosted trees for
tables, logistic regression and extremely randomized trees for images, logistic regression on the words present and a
linear SVM on TF-IDF of words, pairs of words and characters for sentences, characters' bigrams and trigrams for text,
and for a series its last value, its values a day before, and a ridge regression of the change from the last value
(NLinear, Zeng et al. 2023).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC

import automl
from automl import data, metrics, specfile
from automl.data import Part, Prepared
from automl.study.ledger.ledger import Ledger

FOLDER = Path(__file__).parent / "families"
Scores = Callable[[Part], torch.Tensor]  # outputs as a model of ours would give them


def logistic(made: Prepared, features: Callable[[Part], NDArray[Any]]) -> Iterator[Scores]:
    x, y = features(made.train), made.train.y.numpy()
    for strength in (0.01, 0.1, 1.0):
        fitted = LogisticRegression(C=strength, max_iter=300).fit(x, y)
        yield lambda part, fitted=fitted: torch.from_numpy(fitted.predict_log_proba(features(part)))


def flat(part: Part) -> NDArray[Any]:
    return part.x.flatten(1).numpy()


def trees(made: Prepared) -> Iterator[Scores]:
    for least in (1, 3):
        fitted = ExtraTreesClassifier(200, min_samples_leaf=least, random_state=0).fit(flat(made.train), made.train.y)
        yield lambda part, fitted=fitted: torch.from_numpy(fitted.predict_proba(flat(part))).clamp_min(1e-9).log()


def boosted(made: Prepared) -> Iterator[Scores]:
    x, y = flat(made.train), made.train.y.numpy()
    for rate in (0.05, 0.1):
        if made.kind == "classification":
            fitted = HistGradientBoostingClassifier(learning_rate=rate, max_iter=200, random_state=0).fit(x, y)
            yield lambda part, fitted=fitted: torch.from_numpy(fitted.predict_proba(flat(part))).clamp_min(1e-9).log()
        else:
            values = HistGradientBoostingRegressor(learning_rate=rate, max_iter=300, random_state=0).fit(x, y[:, 0])
            yield lambda part, values=values: torch.from_numpy(values.predict(flat(part)))[:, None]


def ridge(made: Prepared) -> Iterator[Scores]:
    for strength in (1.0, 30.0, 1000.0):
        fitted = Ridge(strength).fit(flat(made.train), made.train.y.numpy())
        yield lambda part, fitted=fitted: torch.from_numpy(fitted.predict(flat(part)).reshape(len(part), -1))


def words(part: Part, vocabulary: int) -> NDArray[Any]:
    counts = np.zeros((len(part), vocabulary), dtype=np.float32)
    np.add.at(counts, (np.arange(len(part))[:, None], part.x.numpy()), 1.0)
    counts[:, 0] = 0  # padding
    return np.minimum(counts, 1.0)


def svm(spelled: Prepared) -> Iterator[Scores]:
    """A linear SVM on TF-IDF of words, pairs of words and 2 to 4 characters; `spelled`: the texts, by character."""
    letters = ["", "?", *spelled.preparation["vocabulary"]]

    def texts(part: Part) -> list[str]:
        return ["".join(letters[code] for code in row) for row in part.x.tolist()]

    made = make_union(
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
    )
    x = made.fit_transform(texts(spelled.train))
    for strength in (0.1, 0.3, 1.0):
        fitted = LinearSVC(C=strength).fit(x, spelled.train.y.numpy())

        def scores(part: Part, fitted: LinearSVC = fitted) -> torch.Tensor:
            found = torch.from_numpy(fitted.decision_function(made.transform(texts(part))))
            return found if found.dim() == 2 else torch.stack([-found, found], 1)

        yield scores


def last_value(made: Prepared, back: int) -> Iterator[Scores]:
    columns, horizon = list(made.inputs.continues), int(made.outputs)
    if back == 1:
        yield lambda part: part.x[:, -1, columns]
    else:
        yield lambda part: part.x[:, -back : -back + horizon or None, columns[0]]


def changes(made: Prepared) -> Iterator[Scores]:
    def past(part: Part) -> NDArray[Any]:
        return (part.x - part.x[:, -1:]).flatten(1).numpy()

    columns = list(made.inputs.continues)
    for strength in (1e2, 1e3, 1e4, 1e5):
        fitted = Ridge(strength).fit(past(made.train), (made.train.y - made.train.x[:, -1, columns]).numpy())
        yield lambda part, fitted=fitted: torch.from_numpy(fitted.predict(past(part))) + part.x[:, -1, columns]


def counted(made: Prepared, order: int) -> Iterator[Scores]:
    """Log-probabilities [N, T, V] of the next token, from counts of it after the last 0 .. `order` - 1, mixed."""
    size = int(made.outputs)
    tokens = torch.cat([made.train.x, made.train.y[:, -1:]], 1)
    tables = []
    for back in range(order):
        counts = torch.zeros((size,) * (back + 1))
        grams = tokens.unfold(1, back + 1, 1).reshape(-1, back + 1)
        counts.index_put_(tuple(grams.T), torch.ones(len(grams)), accumulate=True)
        tables.append((counts + 1e-3) / (counts + 1e-3).sum(-1, keepdim=True))
    for trust in (0.7, 0.9, 0.95):  # of the longest context; the rest to the next shorter one

        def scores(part: Part, trust: float = trust) -> torch.Tensor:
            found = tables[0].expand(*part.x.shape, size)
            for back in range(1, order):
                before = torch.nn.functional.pad(part.x, (back - 1, 0)).unfold(1, back, 1)  # the last `back` tokens
                here = tables[back][tuple(before.unbind(-1))]
                known = (torch.arange(part.x.shape[1]) >= back - 1)[:, None]
                found = torch.where(known, trust * here + (1 - trust) * found, found)
            return found.log()

        yield scores


def baselines(made: Prepared) -> dict[str, Iterator[Scores]]:
    if made.kind == "next_token":
        return {"bigrams": counted(made, 2), "trigrams": counted(made, 3)}
    if made.inputs.continues:
        return {
            "last value": last_value(made, 1),
            "a day before": last_value(made, 24),
            "linear changes": changes(made),
        }
    if made.inputs.kind == "tokens":
        size = int(made.inputs.vocabulary or 0)
        return {"logistic on words": logistic(made, lambda part: words(part, size))}
    if made.kind == "regression":
        return {"ridge": ridge(made), "boosted trees": boosted(made)}
    if len(made.inputs.shape) == 3 or int(made.inputs) == 64:
        return {"logistic": logistic(made, flat), "extra trees": trees(made)}
    return {"logistic": logistic(made, flat), "boosted trees": boosted(made)}


def measure(made: Prepared, scores: Scores, part: Part, name: str) -> float:
    total, rows = 0.0, 0
    if made.kind != "next_token":
        return metrics.compute(made.kind, scores(part).float(), part.y, part.weight, scale=made.target_scale)[name]
    for at in range(0, len(part), 256):
        piece = Part(part.x[at : at + 256], part.y[at : at + 256])
        logp = scores(piece)
        total -= float(logp.gather(-1, piece.y[..., None]).sum())
        rows += piece.y.numel()
    return total / rows


def compared(made: Prepared, name: str, spelled: Prepared | None = None) -> dict[str, float]:
    """Test scores of the baselines, each with the setting that was best on the validation rows.

    `spelled`: the same sentences by character, where they are sentences.
    """
    sign = -1 if metrics.direction(f"val_{name}") == "maximize" else 1
    found = {}
    for label, tried in baselines(made).items():
        best = min(tried, key=lambda scores: sign * measure(made, scores, made.val, name))
        found[label] = measure(made, best, made.test, name)
    if spelled is not None:
        best = min(svm(spelled), key=lambda scores: sign * measure(spelled, scores, spelled.val, name))
        found["svm on tf-idf"] = measure(spelled, best, spelled.test, name)
    return found


def searched(file: Path) -> dict[str, Any]:
    """One search, whole."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        study = automl.search(file, path=Path(folder) / "s", executor="inline", workers=1)
        spent = time.process_time() - begun
        assert study.verdict is not None
        assert study.path is not None
        with closing(Ledger.read_only(study.path)) as ledger:
            lanes = [(ledger.attempts(t.number)[-1]["details"] or {}).get("lanes", 1) for t in study.history.trials]
        test = study.verdict["test"]
        low, high = test["interval"]
        spending = {"trials": len(lanes), "most lanes": max(lanes), "epochs": study.history.steps_spent, "CPU s": spent}
        return {"test": test["value"], "low": low, "high": high, "rows": test["rows"], **spending}


def case(file: Path) -> dict[str, Any]:
    read = specfile.read(file)
    name = read.metric.name.removeprefix("val_")
    how = {"target": read.target, "split": read.split, "seed": read.seed, "base": read.folder}
    spelled = None
    if read.prepare.get("form") == "sentences":
        spelled = data.load(read.data, prepare={"form": "sentences", "tokens": "char", "window": 1000}, **how)
    tokens = {"tokens": "word"} if spelled is not None else {}
    made = data.load(read.data, prepare={**read.prepare, **tokens}, **how)
    found = searched(file)
    others = compared(made, name, spelled)
    higher = metrics.direction(read.metric.name) == "maximize"
    best = (max if higher else min)(others, key=lambda label: others[label])
    ahead = [label for label, value in others.items() if (found["test"] - value) * (1 if higher else -1) > 1e-6]
    return {"spec": file.stem, "family": read.model, "metric": f"test {name}", **found, "baselines": others,
            "best baseline": best, "ahead of": ahead}  # fmt: skip


def line(row: dict[str, Any]) -> str:
    others = ", ".join(f"{label} {value:.4g}" for label, value in row["baselines"].items())
    fused = f"up to {row['most lanes']}" if row["most lanes"] > 1 else "no"
    ours = f"**{row['test']:.4g}** ({row['low']:.4g} to {row['high']:.4g})"
    ahead = "all" if len(row["ahead of"]) == len(row["baselines"]) else ", ".join(row["ahead of"]) or "none"
    return (f"| {row['family']} | `{row['spec']}` | {row['metric']} | {ours} | {others} | {ahead} "
            f"| {row['trials']} / {row['epochs']} | {fused} | {row['CPU s']:.0f} |")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="specs to run; none: all of benchmarks/families")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    files = [FOLDER / f"{name}.yaml" for name in asked.names] or sorted(FOLDER.glob("*.yaml"))
    print(
        "| family | spec | metric | search (95 % interval) | baselines | ahead of | trials / epochs | lanes | CPU s |"
    )
    print("|" + "---|" * 9, flush=True)
    rows = []
    for file in files:
        rows.append(case(file))
        print(line(rows[-1]), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
