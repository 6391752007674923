"""Every system by name: neural models and baselines."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfsessionrec.baselines import SessionBaseline

Options = Mapping[str, object]

# The class of each name in `tfsessionrec.baselines`, and the options that the name implies.
BASELINES: Mapping[str, tuple[str, Options]] = {
    "popularity": ("RecentPopularity", {}),
    "recent-popularity": ("RecentPopularity", {"half_life": 86_400.0}),
    "session-popularity": ("SessionPopularity", {"window": 86_400.0}),
    "top-personal": ("PersonalPopularity", {}),
    "tifu-knn": ("TIFUKNN", {}),
    "ar": ("AssociationRules", {}),
    "sr": ("SequentialRules", {}),
    "item-knn": ("ItemKNN", {}),
    "sknn": ("SKNN", {}),
    "vsknn": ("VSKNN", {}),
    "stan": ("STAN", {}),
    "vstan": ("VSTAN", {}),
    "als": ("MatrixFactorization", {}),
}


def names() -> tuple[str, ...]:
    """The names of all systems, neural models first."""
    from tfsessionrec import models

    return (*models.names(), *BASELINES)


def check_name(name: str) -> None:
    """Raises unless `name` is a system.

    Raises:
        ValueError: With the names that are known.
    """
    if not isinstance(name, str) or name not in names():
        raise ValueError(
            f"`name` (--model) should be one of {', '.join(names())}. Received: {name!r}"
        )


def baseline_class(name: str) -> type["SessionBaseline"]:
    """The class of a baseline."""
    from tfsessionrec import baselines

    return getattr(baselines, BASELINES[name][0])


def build_baseline(name: str, options: Options, seed: int = 0) -> "SessionBaseline":
    """A baseline that is not fitted.

    Args:
        name: One of `BASELINES`.
        options: Arguments of its constructor.
        seed: Its seed, unless the options have one.

    Raises:
        ValueError: If an option is unknown or out of its range.
    """
    kind = baseline_class(name)
    known = inspect.signature(kind).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"`--set` should name an option of {name}: {', '.join(known)}. "
            f"Received: {', '.join(unknown)}"
        )
    given = {**({"seed": seed} if "seed" in known else {}), **BASELINES[name][1], **options}
    # One of the two replaces the other.
    if "window" in options and "half_life" not in options:
        given.pop("half_life", None)
    if "half_life" in options and "window" not in options:
        given.pop("window", None)
    return kind(**given)
