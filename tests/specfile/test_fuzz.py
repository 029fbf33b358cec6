"""1,000 mutants of real specifications; `make fuzz` tries 200,000. What was once found stays here by name."""

import pytest

from automl.testing.stress import fuzz


@pytest.mark.parametrize("seed", range(2))
def test_500_mutants_are_read_or_told(seed: int) -> None:
    for number, text in enumerate(fuzz.mutants(500, seed)):
        found = fuzz.wrong(text)
        assert not found, f"mutant {number} of seed {seed}: {found}\n{text!r}"


FOUND = (
    # a repeated key once silenced every complaint below it, and the reader went on with a parameter that was none
    "command: [a]\nmetric: val_loss\nspace: {lr: {oat: [0.1, 1]}}\nbudget: {trials: 3}\nspace: {lr: {oat: [0.1, 1]}}\n",
    # an unknown key without a value was taken for a known one, and told by nobody
    "command: [a]\nmetric: val_loss\nspace: {lr: {float: [0.1, 1]}}\nbudget: {trials: 3}\nfuchoice:\n",
)


@pytest.mark.parametrize("text", FOUND)
def test_what_was_once_found(text: str) -> None:
    assert not fuzz.wrong(text)


def test_the_mutants_are_not_all_alike() -> None:
    told = [fuzz.wrong(text) for text in fuzz.SEEDS]
    assert told == ["", "", ""], "the seeds themselves are right"
    assert len(set(fuzz.mutants(500, 0))) > 450


def test_the_fuzzer_sees_an_error_without_a_place() -> None:
    assert fuzz.wrong("a: 1", limit_s=-1) != ""
