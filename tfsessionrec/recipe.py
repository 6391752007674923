"""How a system is trained: its history, its objective and its optimizer."""

import dataclasses
import warnings
from typing import Literal, get_args

from tfsessionrec.history_spec import HistorySpec

Objective = Literal["next_session", "next_item", "rest_of_session"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


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
    """

    objective: Objective = "next_session"
    epochs: int = 20
    batch_positions: int = 1024
    learning_rate: float = 1e-3
    beta_2: float = 0.98
    cooldown: float = 0.0
    recency_half_life: float | None = None
    since: str | None = None


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
