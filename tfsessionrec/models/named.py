"""Systems by name: their parts, and how each is trained by default."""

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from tfsessionrec import layers
from tfsessionrec.checks import choice, is_number, positive_integer
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.models.backbone import SessionRecBackbone
from tfsessionrec.models.session_rec import SessionRec
from tfsessionrec.recipe import Recipe, Training
from tfsessionrec.tasks import NextSessionRetrieval, SessionRanking
from tfsessionrec.tasks.session_ranking import LOSSES
from tfsessionrec.types import Config

ISES: dict[str, type[layers.ItemSessionEncoder]] = {
    "attention": layers.AttentionISE,
    "gru": layers.GRUISE,
    "max": layers.MaxISE,
    "mean": layers.MeanISE,
    "narm": layers.NARMISE,
    "srgnn": layers.SRGNNISE,
    "stamp": layers.STAMPISE,
    "sum": layers.SumISE,
    "transformer": layers.TransformerISE,
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of `build` beyond the arguments of the parts.

    Attributes:
        num_interests: Of `MultiInterestHead`; 1: no head.
        session_context: Features of a `SessionContext`; None: no context.
        trend: Arguments of `TrendFeatures`; None: no trend.
        habit: Arguments of `HabitFeatures`; None: no habit.
        ise: Name of the item-based session encoder.
        ranking_loss: Of `SessionRanking`; None: no ranking task.
        ranking_weight: Of `SessionRec`.
        relation: Arguments of `RelationFeatures`; None: no relation.
    """

    num_interests: int = 1
    session_context: Config | None = None
    trend: Config | None = None
    habit: Config | None = None
    ise: str = "mean"
    ranking_loss: str | None = None
    ranking_weight: float = 0.0
    relation: Config | None = None


COMMON = ("num_interests", "session_context", "trend", "habit")
SESSION_REC = (*COMMON, "ise", "ranking_loss", "ranking_weight", "relation")


@dataclasses.dataclass(frozen=True)
class System:
    """One row of the table of systems.

    Attributes:
        recipe: How it is trained by default.
        sse: Its sequence encoder.
        options: Defaults of the options.
        choices: Names of the options that a caller may set.
        defaults: Arguments of the parts that differ from the parts' own defaults.
    """

    recipe: Recipe
    sse: type[layers.SessionSequenceEncoder]
    options: Options = Options()
    choices: tuple[str, ...] = COMMON
    defaults: Config = dataclasses.field(default_factory=dict)


# Cosines over a temperature learn in fewer epochs than dot products, and rank better.
COSINE = {"normalize": True, "temperature": 0.07}
NEXT_ITEM = {"interaction_embedding": False, "negatives": "full"}
# A set of items is less certain than the next item: softer than the temperature above. Chosen on
# the last training session of users of Ta-Feng, Amazon Beauty, Globo and the simulated log, with
# epochs, batch and dropout, the test sessions removed first.
NEXT_SESSION = {"negatives": "full", "dropout": 0.4, "normalize": True, "temperature": 0.15}
# Above, a step of the full softmax takes longer than a step over drawn negatives by far.
MAX_FULL_SOFTMAX = 50_000
NUM_NEGATIVES = 2_048


def _session_rec(sse: type[layers.SessionSequenceEncoder], **defaults: object) -> System:
    recipe = Recipe(
        training=Training(epochs=24, batch_positions=256, learning_rate=2e-3, cooldown=0.3)
    )
    options = Options(ranking_loss="pairwise", ranking_weight=0.05, habit={})
    return System(recipe, sse, options, SESSION_REC, {**NEXT_SESSION, **defaults})


def _next_item(sse: type[layers.SessionSequenceEncoder], **defaults: object) -> System:
    recipe = Recipe(
        HistorySpec(session="item", max_items=1),
        Training("next_item", epochs=24, learning_rate=2e-3, cooldown=0.3),
    )
    return System(recipe, sse, defaults={**NEXT_ITEM, "dropout": 0.4, **COSINE, **defaults})


def _running_session(ise: str, **defaults: object) -> System:
    recipe = Recipe(
        HistorySpec(max_sessions=1, max_items=50),
        Training("next_item", epochs=8, batch_positions=256, learning_rate=2e-3, cooldown=0.3),
    )
    defaults = {**NEXT_ITEM, **COSINE, **defaults}
    return System(recipe, layers.IdentitySSE, Options(ise=ise), defaults=defaults)


def _whole_history(**defaults: object) -> System:
    history = HistorySpec(session="whole", max_sessions=1, max_items=50)
    recipe = Recipe(history, Training("next_item"))
    return System(recipe, layers.MLPSSE, defaults={**NEXT_ITEM, **defaults})


SYSTEMS: dict[str, System] = {
    "sessionrec-sasrec": _session_rec(layers.SASRecSSE),
    "sessionrec-hstu": _session_rec(layers.HSTUSSE),
    "sessionrec-gru": _session_rec(layers.GRUSSE, input_norm=True),
    "sasrec": _next_item(layers.SASRecSSE),
    "esasrec": _next_item(layers.SASRecSSE, feed_forward="gated", negatives="uniform"),
    "hstu": _next_item(layers.HSTUSSE),
    "gru4rec": _next_item(layers.GRUSSE, num_layers=1, input_norm=True),
    "stamp": _running_session("stamp", history_dropout=0.3),
    "srgnn": _running_session("srgnn", history_dropout=0.3),
    "narm": _running_session("narm"),
    "two-tower": _whole_history(),
    "mf": _whole_history(hidden_dims=(), dropout=0.0),
}


def names() -> tuple[str, ...]:
    """Names that `build` and `recipe` know."""
    return tuple(SYSTEMS)


def recipe(name: str) -> Recipe:
    """How the system of that name is trained by default.

    Raises:
        ValueError: If the name is not known.
    """
    return _system(name).recipe


def defaults(
    name: str, vocabulary_size: int, options: Mapping[str, object] | None = None
) -> Config:
    """Arguments of `build` that a system leaves to its defaults, and their values.

    Args:
        name: One of `names()`.
        vocabulary_size: `len(vocabulary)`: above 50,000 items negatives are drawn.
        options: The arguments that are given. Defaults to none.

    Raises:
        ValueError: If the name is not known.

    Example:

    >>> defaults("sessionrec-sasrec", 100)["negatives"]
    'full'
    >>> defaults("sessionrec-sasrec", 10**6)["negatives"]
    'uniform'
    """
    system, given = _system(name), dict(options or {})
    found = {key: getattr(system.options, key) for key in system.choices}
    found |= {"embedding_dim": 64, **system.defaults}
    large = is_number(vocabulary_size) and vocabulary_size > MAX_FULL_SOFTMAX
    drawn = "num_negatives" in given or given.get("loss", "softmax") != "softmax"
    full = "negatives" not in given and found.get("negatives") == "full"
    if full and (large or drawn):
        found |= {"negatives": "uniform", "num_negatives": NUM_NEGATIVES}
    return {key: value for key, value in found.items() if key not in given}


def build(name: str, *, vocabulary_size: int, **options: Any) -> SessionRec:
    """Makes a system by name, not compiled.

    | name | inside a session | across sessions | predicts |
    | --- | --- | --- | --- |
    | `sessionrec-sasrec`, `-hstu`, `-gru` | option `ise` | SASRec, HSTU, GRU | next session |
    | `sasrec`, `esasrec`, `hstu`, `gru4rec` | one item | SASRec, HSTU, GRU | next item |
    | `stamp`, `srgnn`, `narm` | that encoder | nothing | next item of the running session |
    | `two-tower`, `mf` | mean of the whole history | an MLP, a linear map | next item |

    `two-tower` scores by `MLP(1/n Σ_j E_j) · E_i`, `mf` by `(W 1/n Σ_j E_j + b) · E_i`, over the n
    items j of the history. `mf` has no vector a user, so that a new user needs no training: in a
    factorization with squared loss a user's vector follows from the items by least squares,
    `(EᵀE + λ)⁻¹ Σ_j E_j`, a linear map of their sum, and W is learned in that map's place;
    `b · E_i` is the item's bias. The mean, so that a long history weighs as much as a short one,
    and the softmax over items as the loss are this package's choice.

    Args:
        name: One of `names()`.
        vocabulary_size: `len(vocabulary)`.
        **options: Arguments of the parts, by their names there: of `ItemEmbedding`, of
            `InteractionEmbedding`, of the sequence encoder, of `NextSessionRetrieval`;
            `num_interests` of `MultiInterestHead` (1, the default: no head); `session_context`,
            the features of a `SessionContext`;
            `trend`, the arguments of `TrendFeatures` (None: candidates do not know the time);
            `habit`, the arguments of `HabitFeatures` ({}, its defaults, for `sessionrec-*`; None,
            no such term, for the others); for `sessionrec-*` also `ise`, `ranking_loss` (None: no
            ranking task), `ranking_weight` and `relation`, the arguments of `RelationFeatures`
            (None: no such term).

    Returns:
        `SessionRec` with the `history` of `recipe(name)`: batches of another layout give a warning.

    Raises:
        ValueError: If the name or an option is not known; the message lists the known ones.

    Example:

    >>> model = build("sasrec", vocabulary_size=100, embedding_dim=16)
    >>> model.backbone.items.embedding_dim
    16
    """
    system = _system(name)
    parts = (layers.ItemEmbedding, layers.InteractionEmbedding, system.sse, NextSessionRetrieval)
    known = [_arguments(part) for part in parts]
    unknown = sorted(set(options).difference(system.choices, *known))
    if unknown:
        every = ", ".join([*(argument for part in known for argument in part), *system.choices])
        raise ValueError(f"Unknown options of {name!r}: {', '.join(unknown)}. It has: {every}")
    given = {**defaults(name, vocabulary_size, options), **options}
    items, interactions, sse, retrieval = (
        {key: given[key] for key in part if key in given} for part in known
    )
    own = Options(**{key: value for key, value in given.items() if key in system.choices})
    if not isinstance(own.ise, str) or own.ise not in ISES:
        raise ValueError(f"`ise` should be one of {', '.join(ISES)}. Received: `ise`={own.ise!r}")
    context = head = ranking = trend = habit = relation = None
    if own.session_context:
        context = layers.SessionContext(
            own.session_context, given["embedding_dim"], name="session_context"
        )
    if positive_integer("num_interests", own.num_interests) != 1:
        head = layers.MultiInterestHead(own.num_interests, name="head")
    backbone = SessionRecBackbone(
        layers.ItemEmbedding(vocabulary_size, **items, name="items"),
        ISES[own.ise](name="ise"),
        system.sse(**sse, name="sse"),
        head,
        session_context=context,
        interactions=layers.InteractionEmbedding(**interactions, name="interactions"),
    )
    task = NextSessionRetrieval(**retrieval, name="retrieval")
    if task.first_item_index >= vocabulary_size:
        raise ValueError(
            f"`first_item_index` should be below `vocabulary_size`={vocabulary_size}. Received: "
            f"`first_item_index`={task.first_item_index}"
        )
    if own.ranking_loss is not None:
        choice("ranking_loss", own.ranking_loss, LOSSES)
        ranking = SessionRanking(own.ranking_loss, name="ranking")
    if own.trend is not None:
        _check_option("trend", own.trend, layers.TrendFeatures)
        arguments = {"first_item_index": task.first_item_index, **own.trend}
        trend = layers.TrendFeatures(vocabulary_size, **arguments, name="trend")
    if own.habit is not None:
        _check_option("habit", own.habit, layers.HabitFeatures)
        arguments = {"first_item_index": task.first_item_index, **own.habit}
        habit = layers.HabitFeatures(vocabulary_size, **arguments, name="habit")
    if own.relation is not None:
        _check_option("relation", own.relation, layers.RelationFeatures)
        relation = layers.RelationFeatures(**own.relation, name="relation")
    return SessionRec(
        backbone,
        task,
        ranking,
        own.ranking_weight,
        trend=trend,
        habit=habit,
        relation=relation,
        history=dataclasses.replace(system.recipe.history, first_item_index=task.first_item_index),
    )


def _system(name: str) -> System:
    if not isinstance(name, str) or name not in SYSTEMS:
        raise ValueError(f"`name` should be one of {', '.join(names())}. Received: `name`={name!r}")
    return SYSTEMS[name]


def _check_option(name: str, value: object, part: type) -> None:
    """Raises unless an option is a mapping of arguments of a part."""
    known = list(_arguments(part))
    if not isinstance(value, Mapping) or not set(value) <= set(known):
        raise ValueError(
            f"`{name}` should be None or a mapping of arguments: {', '.join(known)}. "
            f"Received: `{name}`={value!r}"
        )


def _arguments(part: type) -> Iterable[str]:
    """Names of a part's arguments that `build` passes on."""
    left_out = {"self", "kwargs", "name", "vocabulary_size", "embeddings_initializer", "metrics"}
    parameters = inspect.signature(part.__init__).parameters  # type: ignore[misc]
    return [name for name in parameters if name not in left_out]
