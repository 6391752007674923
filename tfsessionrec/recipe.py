"""How a system is trained: its history, its objective and its optimizer."""

import dataclasses
import math
import warnings
from collections.abc import Mapping
from typing import Literal, get_args

from tfsessionrec import checks
from tfsessionrec.checks import positive_integer
from tfsessionrec.history_spec import HistorySpec

Objective = Literal["next_session", "next_item", "rest_of_session"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
MAX_LEARNING_RATE = 3e38  # of single precision


@dataclasses.dataclass(frozen=True)
class TargetWeights:
    """How much each interaction of a log weighs as a target; all of them remain in the history.

    `w = column * by_type[type]`, and 0 for positive interactions of other types than `types`. A
    target that weighs 0 is not trained on: it is neither a positive nor a negative.

    Args:
        column: Column of non-negative numbers. None (default): every interaction weighs 1.
        by_type: Weight of each interaction type; other types weigh 1. Defaults to none.
        types: Interaction types of targets; a shown item without a positive interaction stays a
            negative of the ranking. Defaults to none: all types.

    Raises:
        ValueError: If a weight is negative or not finite.

    Example:

    >>> TargetWeights(by_type={"purchase": 5, "cart": 3}).by_type
    {'purchase': 5.0, 'cart': 3.0}
    """

    column: str | None = None
    by_type: Mapping[str, float] = dataclasses.field(default_factory=dict)
    types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checks.text("column", self.column, optional=True)
        checks.sequence("types", self.types, "interaction types")
        for one in self.types:
            if not isinstance(one, str | int) or isinstance(one, bool):
                raise _wrong("types", "a list of interaction types", self.types)
        checks.mapping("by_type", self.by_type, "weights")
        by_type = {
            str(name): checks.number(f"by_type[{name!r}]", weight, least=0)
            for name, weight in self.by_type.items()
        }
        object.__setattr__(self, "by_type", by_type)
        object.__setattr__(self, "types", tuple(str(name) for name in self.types))

    def __bool__(self) -> bool:
        return self.column is not None or bool(self.by_type) or bool(self.types)

    @classmethod
    def of(cls, value: object) -> "TargetWeights":
        """The weights that an argument means: a column, the fields of one, or None."""
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            names = [field.name for field in dataclasses.fields(cls)]
            if not set(value) <= set(names):
                raise ValueError(
                    f"`weights` should have the fields {', '.join(names)}. Received: {value!r}"
                )
            return cls(**value)
        if value is None or isinstance(value, str):
            return cls(value)
        raise ValueError(
            f"`weights` should be a column, a `TargetWeights` or None. Received: {value!r}"
        )


@dataclasses.dataclass(frozen=True)
class Training:
    """How a model is trained.

    Args:
        objective: What each example predicts: `"next_session"`, the set of items of the next
            session; `"next_item"`; or `"rest_of_session"`, the set of items that remain of the
            running session.
        epochs: Passes over the log.
        batch_positions: Cells [B, S] a batch.
        learning_rate: Learning rate of Adam.
        beta_2: Decay of Adam's second moment.
        cooldown: Last share of the steps, in which the learning rate falls to 0; 0: none.
        recency_half_life: Seconds of age that halve how often a row is drawn. None: each row once
            an epoch.
        since: Only what happens at this time or later is predicted in training. None: all.
        weights: How much each interaction weighs as a target: a `TargetWeights`, or a column.

    Raises:
        ValueError: If an argument is out of its range.
    """

    objective: Objective = "next_session"
    epochs: int = 20
    batch_positions: int = 1024
    learning_rate: float = 1e-3
    beta_2: float = 0.98
    cooldown: float = 0.0
    recency_half_life: float | None = None
    since: str | None = None
    weights: TargetWeights = TargetWeights()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the log that only training reads."""
        return () if self.weights.column is None else (self.weights.column,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", TargetWeights.of(self.weights))
        if self.objective not in OBJECTIVES:
            raise _wrong("objective", f"one of {', '.join(OBJECTIVES)}", self.objective)
        positive_integer("epochs", self.epochs)
        positive_integer("batch_positions", self.batch_positions)
        for name in ("learning_rate", "beta_2", "cooldown", "recency_half_life"):
            value = getattr(self, name)
            if value is not None or name != "recency_half_life":
                checks.number(name, value)
        if not isinstance(self.since, str | int | float | None) or self.since is True:
            raise _wrong("since", "a time", self.since)
        if not 0 < self.learning_rate <= MAX_LEARNING_RATE:
            raise _wrong("learning_rate", "a positive, finite number", self.learning_rate)
        if not 0 <= self.beta_2 < 1:
            raise _wrong("beta_2", "in [0, 1)", self.beta_2)
        if not 0 <= self.cooldown <= 1:
            raise _wrong("cooldown", "in [0, 1]", self.cooldown)
        half_life = self.recency_half_life
        if half_life is not None and not 0 < half_life < math.inf:
            raise _wrong("recency_half_life", "a positive number of seconds", half_life)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The defaults of a system.

    Args:
        history: What it reads of a history: its kind of sessions and its limits.
        training: How it is trained.
    """

    history: HistorySpec = dataclasses.field(default_factory=HistorySpec)
    training: Training = dataclasses.field(default_factory=Training)

    def __getattr__(self, name: str) -> object:
        former = {
            "next_item": lambda: self.history.session == "item",
            "whole_history": lambda: self.history.session == "whole",
            "max_sessions": lambda: self.history.max_sessions,
            "max_items": lambda: self.history.max_items,
        }
        if name not in former and name not in {f.name for f in dataclasses.fields(Training)}:
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        warnings.warn(
            f"`Recipe.{name}` goes away: read `Recipe.history` and `Recipe.training`",
            FutureWarning,
            stacklevel=2,
        )
        return former[name]() if name in former else getattr(self.training, name)


def _wrong(name: str, expected: str, value: object) -> ValueError:
    return ValueError(f"`{name}` should be {expected}. Received: `{name}`={value!r}")
