"""The tables of `blackbox.py`: regret for each task, mean ranks, and a paired test."""

import numpy as np
from _problems import Problem
from _rivals import Run
from scipy.stats import rankdata, wilcoxon

Results = dict[str, dict[str, list[Run]]]  # method -> task -> runs, one a repeat


def regrets(runs: list[Run], problem: Problem, budget: int) -> np.ndarray:
    """Regret of the best of the first `budget` trials to end, one a repeat."""
    return np.array([problem.regret(min(r.losses[:budget])) for r in runs])


def table(results: Results, chosen: list[Problem], budgets: list[int], against: str) -> str:
    """Markdown: a line for each task, ranks below, then `against` compared with each of the others."""
    methods = list(results)
    lines = ["| task | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    for problem in chosen:
        cells = [_cell(results[m][problem.name], problem, budgets) for m in methods]
        lines.append(f"| {problem.name} ({problem.kind}) | " + " | ".join(cells) + " |")
    numeric = [p for p in chosen if p.kind == "numeric"]
    others = [p for p in chosen if p.kind != "numeric"]
    for label, among in (("all", chosen), ("numeric", numeric), ("mixed, conditional", others)):
        if among:
            ranks = [mean_ranks(results, among, b) for b in budgets]
            cells = [" ".join(f"{r[k]:.2f}" for r in ranks) for k in range(len(methods))]
            lines.append(f"| mean rank, {label} | " + " | ".join(cells) + " |")
    seconds = [np.mean([r.cpu_s for runs in results[m].values() for r in runs]) for m in methods]
    lines.append("| CPU s a run | " + " | ".join(f"{s:.1f}" for s in seconds) + " |")
    if against in results:
        for label, among in (("all", chosen), ("numeric", numeric), ("mixed, conditional", others)):
            found = [_paired(results, among, budgets[-1], against, m) for m in methods if m != against and among]
            lines += ["", f"{against} after {budgets[-1]} trials, {label} tasks, paired by task and repeat:", *found]
    return "\n".join(lines)


def _cell(runs: list[Run], problem: Problem, budgets: list[int]) -> str:
    values = np.stack([regrets(runs, problem, b) for b in budgets])
    error = values[-1].std() / len(runs) ** 0.5
    return " ".join(f"{v:.3f}" for v in values.mean(axis=1)) + f" ± {error:.3f}"


def mean_ranks(results: Results, among: list[Problem], budget: int) -> np.ndarray:
    """Mean over tasks and repeats of the rank among the methods, 1 is best, equals share theirs. [methods]"""
    rows = [np.stack([regrets(results[m][p.name], p, budget) for m in results]) for p in among]
    ranks: np.ndarray = np.concatenate([rankdata(r.round(9), axis=0) for r in rows], axis=1).mean(axis=1)
    return ranks


def _paired(results: Results, among: list[Problem], budget: int, ours: str, other: str) -> str:
    """Wilcoxon's signed-rank test, two-sided, of the differences of regret over tasks x repeats."""
    apart = np.concatenate(
        [regrets(results[ours][p.name], p, budget) - regrets(results[other][p.name], p, budget) for p in among]
    ).round(9)
    if not apart.any():
        return f"- {other}: the same everywhere"
    p = wilcoxon(apart).pvalue
    wins, losses = int((apart < 0).sum()), int((apart > 0).sum())
    return f"- {other}: better {wins}, worse {losses} of {len(apart)}; mean difference {apart.mean():+.4f}; p = {p:.2g}"
