"""Damaged bytes and values, and whether an error of them says enough.

Hypothesis chooses the cases from a fixed seed. `make fuzz` (FUZZ_CASES=all) runs many more and
prints how many were tried; FUZZ_SEED chooses others.
"""

import os
import pathlib
import random
import re
import warnings
from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, seed, settings

ALL = os.environ.get("FUZZ_CASES") == "all"
SEED = int(os.environ.get("FUZZ_SEED", "0"))
TRIED: Counter[str] = Counter()
"""Calls by their end: "result" or "named error". Anything else fails the test."""


def cases(number: int, more: int = 25) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a test: `number` cases, with FUZZ_CASES=all `more` times as many."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        chosen = settings(
            max_examples=number * more if ALL else number,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        return seed(SEED)(chosen(test))

    return decorate


ODD = (
    "", " ", "NaN", "inf", "-inf", "null", "None", "0", "-1", "+5", "007", "1e400", "1e5", "1.0",
    "99999999999999999999", "9223372036854775808", "-9223372036854775809", "20240131",
    "2024-01-31", "31/01/2024 10:00", "2024-02-30T25:61:00Z", "1700000000000", "true", "a|b||",
    "|", '"', '""', "'", ",", "\x00", "\ufeff", "é", "日本", "🙂", "a" * 300, "[1, 2]", "-0", "1_0",
)  # fmt: skip
# Words of an error that belong to other libraries: their arguments, types and advice.
FOREIGN = re.compile(
    r"infer_schema|ignore_errors|schema_overrides|strict=False|Arrow(Invalid|Type)"
)


def outcome(call: Callable[[], object], path: pathlib.Path | None = None) -> object:
    """The result of a call, or None after an error that says enough."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = call()
            TRIED["result"] += 1
            return result
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
    assert re.match(r"(`--?\w[\w-]*`|`\w+(\[.*?\])?`|A log|Exactly one) ", message), message
    assert "Received: " in message or "cannot be read: " in message, message
    assert not FOREIGN.search(message), message
    if "cannot be read" in message and path is not None:
        assert str(path) in message
    TRIED["named error"] += 1
    return None


def mutate(data: bytes, numbers: random.Random) -> bytes:
    """A few flipped, removed, inserted, doubled bytes or odd fields."""
    changed = bytearray(data)
    for _ in range(numbers.randint(1, 4)):
        at = numbers.randrange(len(changed)) if changed else 0
        kind = numbers.randrange(6)
        if kind == 0 and changed:
            changed[at] ^= 1 << numbers.randrange(8)
        elif kind == 1:
            del changed[at : at + numbers.randint(1, 20)]
        elif kind == 2:
            changed[at:at] = numbers.choice(ODD).encode()
        elif kind == 3:
            changed[at:at] = changed[at : at + numbers.randint(1, 40)]
        elif kind == 4:
            del changed[max(at, 1) :]
        else:
            fields = changed.split(b",")
            fields[numbers.randrange(len(fields))] = numbers.choice(ODD).encode()
            changed = bytearray(b",".join(fields))
    return bytes(changed)


ODD_JSON = (
    None, True, False, 0, -1, 3, 1.5, 2**70, 1e300, float("nan"), float("inf"), "", "x", "null",
    "7", [], {}, [None], ["a"], [[1]], {"a": 1}, {"": None}, "a" * 300, "\x00", "日本",
)  # fmt: skip


def mutate_json(content: object, numbers: random.Random) -> object:
    """JSON values of which one is replaced, removed, added or renamed."""
    holders = list(_holders(content))
    if not holders or numbers.random() < 0.02:
        return numbers.choice(ODD_JSON)
    # Long lists, such as those of ids, should not take all the damage.
    holder = numbers.choice(holders)
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    kind = numbers.randrange(5) if keys else 3
    if kind < 2:
        holder[numbers.choice(keys)] = numbers.choice(ODD_JSON)
    elif kind == 2:
        del holder[numbers.choice(keys)]
    elif isinstance(holder, list):
        holder.append(numbers.choice(ODD_JSON))
    elif kind == 3:
        holder[numbers.choice(("new", "item", "log", "epochs", ""))] = numbers.choice(ODD_JSON)
    else:
        holder["renamed"] = holder.pop(numbers.choice(keys))
    return content


def _holders(content: object) -> "list[dict | list]":
    found: list[dict | list] = []
    if isinstance(content, dict | list):
        found.append(content)
        for value in content.values() if isinstance(content, dict) else content:
            found += _holders(value)
    return found
