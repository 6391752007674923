"""Wrong arguments: the error names the argument.

`make fuzz` runs every case: FUZZ_CASES=all. FUZZ_SEED chooses others.
"""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # as pytest does without importlib

from generator import outcome, sample
from subjects import ROOMS

SIZE = os.environ.get("FUZZ_CASES", "120")
SEED = int(os.environ.get("FUZZ_SEED", "7"))
# The least share of wrong calls whose error names the argument.
LEAST = {
    "rules": 0.98,
    "losses": 0.98,
    "client": 0.98,
    "layers": 0.98,
    "data": 0.98,
    "evaluation": 0.98,
    "metrics": 0.98,
    "models": 0.98,
    "sampling": 0.98,
    "baselines": 0.98,
    "export": 0.98,
    "systems": 0.98,
}


@pytest.mark.parametrize("room", ROOMS)
def test_errors_name_the_argument(room: str) -> None:
    subjects = ROOMS[room]()
    cases = sample(subjects, SEED, None if SIZE == "all" else int(SIZE))
    bad = [
        f"{subject.name}({argument}={value!r}): {problem}"[:240].replace("\n", " ")
        for subject, argument, value in cases
        if (problem := outcome(subject, argument, value)) is not None
    ]
    found = 1 - len(bad) / len(cases)
    print(f"{room}: {found:.1%} of {len(cases)} wrong calls name the argument")
    assert found >= LEAST[room], "\n".join(bad)


@pytest.mark.parametrize("room", ROOMS)
def test_good_arguments_raise_no_error(room: str) -> None:
    """Otherwise the errors would say nothing."""
    for subject in ROOMS[room]():
        if not hasattr(subject.call, "__self__") or room != "client":
            subject.call(**subject.good)
