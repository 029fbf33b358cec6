"""What the finalists showed: the sentences of the final block, and the fields of `--json`."""

from collections.abc import Mapping, Sequence
from typing import Any

from automl import metrics
from automl.leaderboard import words
from automl.study.reader import Readable

Verdict = Mapping[str, Any]
"""What `automl.evaluation` has written about the finalists into the study's ledger."""
CONFIDENT = 0.95
"""An ensemble is called better (or worse) without "possibly by chance" if it is so in this share of bootstrap draws."""


def fields(study: Readable) -> dict[str, Any]:
    """`finalists`, `test`, `optimism` and more of the JSON document; the first three are null without finalists."""
    verdict = study.verdict
    if verdict is None:
        return {"finalists": None, "test": None, "optimism": None}
    test = verdict["test"]
    names = ("trial", "mean", "interval", "seeds", "found", "front", "objectives")
    shown = ("metric", "value", "interval", "rows")
    return {
        "finalists": [{name: f[name] for name in names if name in f} for f in verdict["finalists"]],
        "test": None if test is None else {**{name: test[name] for name in shown}, "looks": verdict["looks"]},
        "optimism": verdict["optimism"],
        "big": verdict.get("big", {}),
        "tied": verdict["tied"],
        "default": verdict["default"],
        "first_suggested": verdict["first"],
        "ensemble": verdict["ensemble"],
        **({"pack": True} if verdict.get("pack") else {}),
    }


def sentences(study: Readable) -> list[tuple[str, str]]:
    """(label, sentence) of the final block, below the winner's config; empty without finalists."""
    verdict = study.verdict
    if verdict is None:
        return []
    tested = [("test", _test(verdict)), *([("also", also)] if (also := _also(verdict)) else [])]
    if verdict.get("pack"):
        return tested
    front = front_of(study)
    lines = [("retrained", _retrained(verdict)), *([("front", front)] if front else []), *tested]
    optional = {"tied": _tied(verdict), "baselines": _baselines(verdict), "ensemble": _ensemble(verdict)}
    return [*lines, *((label, text) for label, text in optional.items() if text)]


def front_of(study: Readable) -> str:
    """The finalists of several objectives by their means over fresh seeds, and how the winner was chosen; or empty."""
    objectives = study.history.objectives
    finalists = [f for f in (study.verdict or {}).get("finalists", []) if f.get("objectives")]
    if not objectives.several or not finalists:
        return ""
    names = [metric.name for metric in objectives.metrics]
    points = []
    for f in sorted(finalists, key=lambda f: objectives.first.loss(f["mean"] or 0.0)):
        values = ", ".join(
            f"{words.clean(name)} {words.amount(f['objectives'][name]['mean'])}{_plus_minus(f['objectives'][name])}"
            for name in names
        )
        beaten = "" if f["front"] == 1 else " (breaks a limit)" if f["front"] == 0 else " (beaten on fresh seeds)"
        points.append(f"{words.trial(f['trial'])} {values}{beaten}")
    how = " and ".join(map(str, objectives.choose)) or "the knee"
    return f"{'; '.join(points)}. The winner is {how if not objectives.choose else f'the best with {how}'}"


def _plus_minus(spread: Mapping[str, Any]) -> str:
    """Half the width of an interval, where it has one."""
    if not spread["interval"] or spread["interval"][0] == spread["interval"][1]:
        return ""
    return f" +-{words.number((spread['interval'][1] - spread['interval'][0]) / 2)}"


def together(study: Readable) -> str:
    """The ensemble that is the winner of a pack, with its value on the validation rows; empty without one."""
    verdict = study.verdict
    if verdict is None or not verdict.get("pack") or verdict["ensemble"] is None:
        return ""
    found = verdict["ensemble"]
    of = f"{found['models']} of {words.plural(found['among'], 'model')}"
    name, value = words.clean(verdict["metric"]), words.number(found["val"])
    return f"ensemble of {of} (in ensemble/)  {name} {value}, by which it was chosen"


def _retrained(verdict: Verdict) -> str:
    """The winner's mean over fresh seeds, and by how much the search had overrated or underrated it."""
    best = verdict["finalists"][0]
    target = verdict.get("big", {})
    at = "".join(f" at {words.clean(name)} {words.short(value)}" for name, value in target.items())
    text = f"mean {words.number(best['mean'])}{at} over {words.plural(best['seeds'], 'fresh seed')}"
    if verdict.get("seeds_have_no_effect", verdict.get("deaf")):
        return f"{text}, all exactly equal at every step: the seed changes nothing (does the training use trial.seed?)"
    if best["interval"]:
        text += f" ({_interval(best['interval'])})"
    estimate = f"search estimate {words.number(best['found'])}"
    if target:
        return f"{text}; {estimate} was made with the small model"
    if words.number(best["found"]) == words.number(best["mean"]):
        return f"{text}; {estimate} was accurate"
    side = "high" if best["found"] > best["mean"] else "low"
    kind = "optimistic" if verdict["optimism"] > 0 else "pessimistic"
    return f"{text}; {estimate} was {_gap(verdict['optimism'], best['found'])} too {side} ({kind})"


def _gap(gap: float, value: float) -> str:
    """The size of a difference, with as many decimals as `value` is shown with."""
    shown = words.number(value)
    return words.number(abs(gap)) if "e" in shown else f"{abs(gap):.{len(shown.partition('.')[2])}f}"


def _test(verdict: Verdict) -> str:
    """The winner's score on the test set, and how often that set was used."""
    test, evaluations = verdict["test"], verdict["looks"]
    if test is None:
        return "none: this task has no test set, so every score above was used to choose the winner"
    if test["value"] is None:
        return f"{words.clean(test['metric'])} is not defined on the {test['rows']} test rows: {test['undefined']}"
    score = f"{words.clean(test['metric'])} {words.number(test['value'])} ({_interval(test['interval'])})"
    often = "evaluated once"
    if evaluations > 1:
        often = f"evaluation number {evaluations}: each further one makes the score less trustworthy"
    return f"{score}, {test['rows']} rows, {often}"


def _also(verdict: Verdict) -> str:
    """Further metrics of the winner on the test rows: those that nothing is ranked by, and each target's own."""
    test = verdict["test"] or {}
    name, values = test.get("metric", ""), test.get("metrics", {})
    shown = [one for one in values if one.removeprefix("test_") in metrics.SHOWN_ONLY or one.startswith(f"{name} of ")]
    return ", ".join(f"{words.clean(one)} {words.number(values[one])}" for one in shown)


def _tied(verdict: Verdict) -> str:
    """Which finalists the winner does not clearly beat."""
    tied = verdict["tied"]
    if not tied:
        return ""
    if len(tied) == len(verdict["finalists"]) - 1 > 1:
        names = f"all {len(tied) + 1} finalists"
    else:
        first, *others, last = [words.trial(n) for n in (verdict["winner"], *tied)]
        names = f"{', '.join([first, *others])} and {last}"
    return f"{names} are statistically tied: any of them may be the best"


def _baselines(verdict: Verdict) -> str:
    """The search's values of the defaults, and of the best of the first suggested configs."""
    default, first = verdict["default"], verdict["first"]
    parts = []
    if default:
        parts.append(f"default config {words.number(default['value'])} ({words.trial(default['trial'])})")
    if first:
        winner = ", the winner itself" if first["trial"] == verdict["winner"] else ""
        name = words.trial(first["trial"])
        parts.append(f"best of the first 20 suggested configs {words.number(first['value'])} ({name}{winner})")
    return ", ".join(parts)


def _ensemble(verdict: Verdict) -> str:
    """The ensemble's score on the test set, compared with the winner's."""
    ensemble = verdict["ensemble"]
    if not ensemble or ensemble["test"] is None or ensemble["gain"] is None:
        return ""
    models = words.plural(ensemble["models"], "model")
    if "among" in ensemble:
        models = f"{ensemble['models']} of {words.plural(ensemble['among'], 'model')}"
    size = _gap(ensemble["gain"], ensemble["test"])
    gain = f"{size} {'better' if ensemble['gain'] > 0 else 'worse'} than the winner"
    if CONFIDENT > ensemble.get("sure", 1.0) > 1 - CONFIDENT:
        gain += ", possibly by chance"
    if not float(size):
        gain = "as good as the winner"
    return f"{models}: {words.clean(ensemble['metric'])} {words.number(ensemble['test'])}, {gain} (in ensemble/)"


def _interval(interval: Sequence[float]) -> str:
    return f"95 % interval {words.number(interval[0])} to {words.number(interval[1])}"
