"""What the finalists showed, in the lines of the final block and in the fields of `--json`."""

from collections.abc import Mapping, Sequence
from typing import Any

from automl.leaderboard import words
from automl.study.reader import Readable

Verdict = Mapping[str, Any]
SURE = 0.95  # of an ensemble's gain: in so many bootstrap draws of the test rows


def fields(study: Readable) -> dict[str, Any]:
    """`finalists`, `test` and `optimism` of the JSON document; all null without finalists."""
    verdict = study.verdict
    if verdict is None:
        return {"finalists": None, "test": None, "optimism": None}
    test = verdict["test"]
    names = ("trial", "mean", "interval", "seeds", "found")
    shown = ("metric", "value", "interval", "rows")
    return {
        "finalists": [{name: f[name] for name in names} for f in verdict["finalists"]],
        "test": None if test is None else {**{name: test[name] for name in shown}, "looks": verdict["looks"]},
        "optimism": verdict["optimism"],
        "big": verdict.get("big", {}),
        "tied": verdict["tied"],
        "default": verdict["default"],
        "first_suggested": verdict["first"],
        "ensemble": verdict["ensemble"],
    }


def lines(study: Readable) -> list[str]:
    """The part of the final block below the winner's config."""
    verdict = study.verdict
    if verdict is None:
        return []
    return [_fresh(verdict), *_test(verdict), *_tied(verdict), *_compared(verdict), *_ensemble(verdict)]


def _fresh(verdict: Verdict) -> str:
    """`again 0.9874 on 3 fresh seeds (95 % interval of the mean 0.9866 to 0.9882): 0.9881 was ...`."""
    best = verdict["finalists"][0]
    big = verdict.get("big", {})
    at = "".join(f" at {words.clean(name)} {words.short(value)}" for name, value in big.items())
    text = f"again {words.number(best['mean'])}{at} on {words.plural(best['seeds'], 'fresh seed')}"
    if best["interval"] and not _no_effect(verdict):
        text += f" ({_between(best['interval'])})"
    found = f"{words.number(best['found'])} was"
    if _no_effect(verdict):
        return f"{text}, all exactly equal: does the training use trial.seed?"
    if big:
        return f"{text}: the search had {words.number(best['found'])} with its small model"
    if words.number(best["found"]) == words.number(best["mean"]):
        return f"{text}: {found} no luck"
    size = _like(verdict["optimism"], best["found"])
    return f"{text}: {found} {size} too {'good' if verdict['optimism'] > 0 else 'modest'}"


def _no_effect(verdict: Verdict) -> bool:
    """Whether fresh seeds gave exactly equal values; studies of version 0.1.0 call it `deaf`."""
    return bool(verdict.get("seeds_have_no_effect", verdict.get("deaf")))


def _like(gap: float, value: float) -> str:
    """A gap's size with as many decimals as `value` is shown with."""
    shown = words.number(value)
    return words.number(abs(gap)) if "e" in shown else f"{abs(gap):.{len(shown.partition('.')[2])}f}"


def _test(verdict: Verdict) -> list[str]:
    test, looks = verdict["test"], verdict["looks"]
    if test is None:
        return ["test  none: this task has no test part, so nothing here is free of the search's choice"]
    often = "looked at once" if looks == 1 else f"look number {looks}: each one makes the next less trustworthy"
    name = words.clean(test["metric"])
    return [f"test  {name} {words.number(test['value'])} ({_between(test['interval'])}), {test['rows']} rows, {often}"]


def _tied(verdict: Verdict) -> list[str]:
    tied = verdict["tied"]
    if not tied:
        return []
    if len(tied) == len(verdict["finalists"]) - 1 > 1:
        names = f"all {len(tied) + 1} finalists"
    else:
        names = _listed([words.trial(n) for n in (verdict["winner"], *tied)])
    return [f"tied  {names} are statistically tied: any of them may be the best"]


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _compared(verdict: Verdict) -> list[str]:
    default, first = verdict["default"], verdict["first"]
    parts = []
    if default:
        parts.append(f"default config {words.number(default['value'])} ({words.trial(default['trial'])})")
    if first:
        itself = ", the winner itself" if first["trial"] == verdict["winner"] else ""
        name = words.trial(first["trial"])
        parts.append(f"best of the first 20 suggested {words.number(first['value'])} ({name}{itself})")
    return [f"vs    {', '.join(parts)}"] if parts else []


def _ensemble(verdict: Verdict) -> list[str]:
    made = verdict["ensemble"]
    if not made or made["test"] is None:
        return []
    among = (
        f"{made['models']} of {words.plural(made['among'], 'model')}" if "among" in made else f"{made['models']} models"
    )
    size = _like(made["gain"], made["test"])
    chance = ", perhaps by chance" if SURE > made.get("sure", 1.0) > 1 - SURE else ""
    gain = f"{size} {'better' if made['gain'] > 0 else 'worse'} than the winner{chance}"
    if not float(size):
        gain = "as good as the winner"
    name = words.clean(made["metric"])
    return [f"team  {among} together: {name} {words.number(made['test'])}, {gain} (in ensemble/)"]


def _between(interval: Sequence[float]) -> str:
    return f"95 % interval {words.number(interval[0])} to {words.number(interval[1])}"
