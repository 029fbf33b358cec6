"""Replay of a study: what the ledger holds must follow from the ledger.

    python -m automl.testing.stress.replay STUDY

Facts are fed into an empty history one by one, in the order they became known. Wherever the strategy was asked, it is
asked again, with what was known then: its suggestions must be the configs that were tried.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from automl.core import plugins
from automl.core.history import History
from automl.core.live import edits
from automl.core.objectives.goals import Objectives
from automl.core.space import Space
from automl.core.strategy import Strategy
from automl.core.trial import Failure, Plan, State
from automl.study.ledger.ledger import Ledger


def problems(path: Path, strategy: Strategy | None = None) -> Iterator[str]:
    """Every difference, as a sentence; empty if there is none. `strategy` replaces one that was given as an object."""
    with closing(Ledger.read_only(path)) as ledger:
        facts = ledger.facts()
        strategy = strategy or plugins.make("strategies", facts["strategy"])
        plan = _first_plan(Plan(**facts["plan"]), ledger)
        objectives = Objectives.from_facts(facts)
        history = History(Space.of(facts["space"]), seed=facts["seed"], metric=objectives, plan=plan)
        suggested: list[str] = []
        for _, kind, trial, what, why, at_s, more in ledger.in_order():
            match kind:
                case "begun":
                    if more:
                        suggested = [json.dumps(config) for config in strategy.suggest(history, more)]
                    if not why:
                        expected = suggested.pop(0) if suggested else "nothing"
                        if expected != what:
                            yield f"trial {trial}: a replay suggests {expected}, the ledger has {what}"
                    history.begin(json.loads(what), origin=why, at_s=at_s)
                case "edit":
                    edits.apply(history, json.loads(what), why)
                case "again":
                    history.again(trial, what)
                case "report":
                    vector = () if objectives.plain else objectives.vector(dict(ledger.reports(trial))[what])
                    history.point(trial, what, history.metric.loss(why), vector)
                case "pause":
                    history.pause(trial, why)
                case "end":
                    failure = Failure(**json.loads(more)) if more else None
                    history.end(trial, State(what), reason=why, failure=failure, at_s=at_s)
        again = History(history.space, seed=history.seed, metric=objectives, plan=plan)
        ledger.replay(again)
        for a, b in zip(history.trials, again.trials, strict=True):
            if a != b:
                yield f"trial {a.number}: opened as {b}, replayed as {a}"
        for state in State:
            if [t.number for t in history.of(state)] != [t.number for t in again.of(state)]:
                yield f"the order of {state} trials differs"


def _first_plan(plan: Plan, ledger: Ledger) -> Plan:
    """The budget before the first edit of it."""
    made = [json.loads(fact[3]) for fact in ledger.in_order("edit")]
    for edit in reversed([edit for edit in made if edit["kind"] == "budget"]):
        if getattr(plan, edit["limit"]) == edit["to"]:
            plan = replace(plan, **{edit["limit"]: edit["was"]})
    return plan


def main() -> int:
    """Replay the study named on the command line and print what differs. Returns the exit code."""
    found = list(problems(Path(sys.argv[1])))
    print("\n".join(found) or "a replay suggests what was tried")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
