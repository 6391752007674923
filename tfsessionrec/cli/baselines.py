"""Systems that are fitted by counting: by name, in a model directory, in the commands."""

import argparse
import inspect
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tfsessionrec
from tfsessionrec.cli import output
from tfsessionrec.cli.log import LogFormat, split
from tfsessionrec.cli.settings import Settings

if TYPE_CHECKING:
    from tfsessionrec.baselines import SessionBaseline
    from tfsessionrec.data import Sessions

# The class of each name in `tfsessionrec.baselines`, and the options that the name stands for.
BASELINES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "popularity": ("RecentPopularity", {}),
    "recent-popularity": ("RecentPopularity", {"half_life": 86_400.0}),
    "session-popularity": ("SessionPopularity", {"window": 86_400.0}),
    "ar": ("AssociationRules", {}),
    "sr": ("SequentialRules", {}),
    "item-knn": ("ItemKNN", {}),
    "sknn": ("SKNN", {}),
    "vsknn": ("VSKNN", {}),
    "stan": ("STAN", {}),
    "vstan": ("VSTAN", {}),
    "als": ("MatrixFactorization", {}),
}
FILE = "baseline.npz"
# What an evaluation asks of them: the history of a session model, and when it is asked.
RECIPE = {
    "next_item": False,
    "whole_history": False,
    "objective": "next_item",
    "max_sessions": 50,
    "max_items": 200,
    "request_times": True,
}
# Arguments of `train` that say nothing to them.
_NEURAL = (
    "embedding_dim",
    "objective",
    "relation",
    "trend",
    "trend_events",
    "epochs",
    "batch_positions",
    "learning_rate",
    "cooldown",
    "recency_half_life",
    "item_features",
    "categorical",
    "multi_hot",
    "dense",
    "resume",
)


def build(name: str, options: Mapping[str, Any], seed: int = 0) -> "SessionBaseline":
    """A baseline that has learned nothing yet.

    Args:
        name: One of `BASELINES`.
        options: Arguments of its constructor.
        seed: Its seed, unless the options have one.

    Raises:
        ValueError: If an option is not known or out of its range.
    """
    from tfsessionrec import baselines

    class_name, standing = BASELINES[name]
    kind = getattr(baselines, class_name)
    known = inspect.signature(kind).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"`--set` should name an option of {name}: {', '.join(known)}. "
            f"Received: {', '.join(unknown)}"
        )
    given = {**({"seed": seed} if "seed" in known else {}), **standing, **options}
    if "window" in options and "half_life" not in options:
        given.pop("half_life", None)
    if "half_life" in options and "window" not in options:
        given.pop("window", None)
    return kind(**given)


def load(name: str, path: pathlib.Path) -> "SessionBaseline":
    """Reads the file of a model directory in which the baseline of that name stands."""
    from tfsessionrec import baselines

    return getattr(baselines, BASELINES[name][0]).load(path)


def train(arguments: argparse.Namespace, options: Mapping[str, Any]) -> None:
    """`tfsessionrec train` for one of `BASELINES`.

    Args:
        arguments: Of the command.
        options: What `--set` gives.
    """
    given = [name for name in _NEURAL if getattr(arguments, name) not in (None, False)]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"{arguments.model} has no epochs and no embeddings. Received: {flags}")
    from tfsessionrec.cli.model_directory import ModelDirectory
    from tfsessionrec.data import Vocabulary

    limits = ("max_sessions", "max_items", "since")
    chosen = {key: value for key in limits if (value := getattr(arguments, key)) is not None}
    settings = Settings(
        model=arguments.model,
        options=dict(options),
        log=LogFormat.from_arguments(arguments),
        holdout=arguments.holdout or "none",
        min_count=1 if arguments.min_count is None else arguments.min_count,
        training={**RECIPE, **chosen},
        seed=arguments.seed or 0,
        version=tfsessionrec.__version__,
    )
    model = build(settings.model, settings.options, settings.seed)
    directory = ModelDirectory(arguments.output)
    directory.check_free(arguments.overwrite)
    sessions, _ = split(settings.log.read(arguments.events), settings.holdout)
    vocabulary = Vocabulary.from_sessions(sessions, settings.min_count)
    sessions = learned(settings, sessions)
    started = time.perf_counter()
    model.fit(sessions, vocabulary)
    seconds = time.perf_counter() - started
    directory.create(settings, vocabulary, arguments.overwrite)
    model.save(directory.path / FILE)
    output.write_json(
        arguments.json,
        {
            **settings.to_json(),
            "events": arguments.events,
            "output": directory.path,
            "users": sessions.num_users,
            "sessions": sessions.num_sessions,
            "vocabulary_size": len(vocabulary),
            "seconds": seconds,
        },
    )
    print(
        f"{directory.path}: {settings.model}, {sessions.num_sessions:,} sessions in {seconds:.1f} s"
    )


def learned(settings: Settings, sessions: "Sessions") -> "Sessions":
    """The part of some sessions that `--since` leaves."""
    since = settings.training.get("since")
    return split(sessions, f"after={since}")[1] if since else sessions


def recommend(
    path: pathlib.Path,
    items: Sequence[str],
    sessions: Sequence[int] | None,
    arguments: argparse.Namespace,
    excluded: Sequence[str],
    allowed: Sequence[str],
) -> list[tuple[Any, float]]:
    """What the baseline of a model directory recommends.

    Args:
        path: The directory.
        items: The history, oldest first.
        sessions: The session of each item, if there are several.
        arguments: Of `tfsessionrec recommend`.
        excluded: Items that are left out.
        allowed: Items that may be recommended; none of them means all.
    """
    from tfsessionrec.cli.model_directory import ModelDirectory

    rules = ("input", "tag_mask", "max_per_category", "diversity", "freshness")
    given = [f"--{name.replace('_', '-')}" for name in rules if getattr(arguments, name)]
    if given:
        raise ValueError(f"Only an export knows {', '.join(given)}. Received: {path}")
    if arguments.k < 1:
        raise ValueError(f"`--k` should be a positive integer. Received: {arguments.k}")
    if sessions is not None and len(sessions) != len(items):
        raise ValueError(
            f"`--sessions` should be one number an item. Received: {len(sessions)} for "
            f"{len(items)} items"
        )
    model = ModelDirectory(path).load_model()
    kind = str if model.vocabulary.dtype == "string" else int
    visits: dict[int, list[Any]] = {}
    for item, visit in zip(items, sessions or [0] * len(items)):
        visits.setdefault(visit, []).append(kind(item))
    ranked = model.recommend(
        list(visits.values()) or [[]],
        len(model.vocabulary),
        time=arguments.request_time,
    )
    never, only = set(map(kind, excluded)), set(map(kind, allowed))
    if arguments.exclude_seen:
        never.update(*visits.values())
    kept = [(item, score) for item, score in ranked if item not in never]
    return [(item, score) for item, score in kept if not only or item in only][: arguments.k]


def is_baseline(path: pathlib.Path) -> bool:
    """Whether a folder is the model directory of a baseline."""
    return (path / FILE).is_file()
