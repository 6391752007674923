"""Systems by name, and how each is trained unless told otherwise."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from tfsessionrec import layers
from tfsessionrec.models.backbone import SessionRecBackbone
from tfsessionrec.models.session_rec import SessionRec
from tfsessionrec.tasks import NextSessionRetrieval, SessionRanking

ISES: dict[str, type] = {
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


class Recipe(NamedTuple):
    """How a system is trained unless told otherwise.

    Attributes:
        next_item: True for systems that read one item a session: `data.flatten_sessions` first.
        whole_history: True for systems that read the history as one session:
            `data.merge_sessions` first.
        objective: `"next_session"` (its set of items), `"next_item"` or `"rest_of_session"` (the
            set of items that remain of the running session).
        max_sessions: Sessions (for `next_item`: items) of a history that are read.
        max_items: Items of a session that are read.
        batch_positions: Positions a batch.
        epochs: Passes over the log.
        learning_rate: Of Adam.
        beta_2: Of Adam.
        cooldown: Share of the steps, the last, in which the learning rate falls to 0; 0: none.
        recency_half_life: Seconds of age that halve how often a row is drawn; None: each once an
            epoch.
    """

    next_item: bool = False
    whole_history: bool = False
    objective: str = "next_session"
    max_sessions: int = 50
    max_items: int = 20
    batch_positions: int = 1024
    epochs: int = 20
    learning_rate: float = 1e-3
    beta_2: float = 0.98
    cooldown: float = 0.0
    recency_half_life: float | None = None


@dataclasses.dataclass(frozen=True)
class System:
    """One row of the table of systems: what stands inside and across sessions, and its defaults."""

    recipe: Recipe
    sse: type
    ise: str = "mean"
    choose_ise: bool = False
    ranking: bool = False
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _session_rec(sse: type, **defaults: Any) -> System:
    return System(Recipe(), sse, choose_ise=True, ranking=True, defaults=defaults)


# Cosines over a temperature learn in fewer epochs than dot products, and rank better.
COSINE = {"normalize": True, "temperature": 0.07}


def _next_item(sse: type, **defaults: Any) -> System:
    recipe = Recipe(
        next_item=True,
        objective="next_item",
        max_items=1,
        epochs=24,
        learning_rate=2e-3,
        cooldown=0.3,
    )
    defaults = {
        "interaction_embedding": False,
        "negatives": "full",
        "dropout": 0.4,
        **COSINE,
        **defaults,
    }
    return System(recipe, sse, defaults=defaults)


def _running_session(ise: str, **defaults: Any) -> System:
    recipe = Recipe(
        objective="next_item",
        max_sessions=1,
        max_items=50,
        batch_positions=256,
        epochs=8,
        learning_rate=2e-3,
        cooldown=0.3,
    )
    defaults = {"interaction_embedding": False, "negatives": "full", **COSINE, **defaults}
    return System(recipe, layers.IdentitySSE, ise, defaults=defaults)


def _whole_history(**defaults: Any) -> System:
    recipe = Recipe(whole_history=True, objective="next_item", max_sessions=1, max_items=50)
    defaults = {"interaction_embedding": False, "negatives": "full", **defaults}
    return System(recipe, layers.MLPSSE, defaults=defaults)


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
    """How the system of that name is trained unless told otherwise.

    Raises:
        ValueError: If the name is not known.
    """
    if name not in SYSTEMS:
        raise ValueError(f"`name` should be one of {', '.join(names())}. Received: `name`={name!r}")
    return SYSTEMS[name].recipe


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
    factorisation with squared loss a user's vector follows from the items by least squares,
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
            `trend`, the arguments of `TrendFeatures` (None: candidates do not know the time); for
            `sessionrec-*` also `ise`, `ranking_loss` (None: no ranking task), `ranking_weight` and
            `relation`, the arguments of `RelationFeatures` (None: no such term).

    Returns:
        `SessionRec`.

    Raises:
        ValueError: If the name or an option is not known; the message lists what is.

    Example:

    >>> model = build("sasrec", vocabulary_size=100, embedding_dim=16)
    >>> model.backbone.items.embedding_dim
    16
    """
    recipe(name)
    system = SYSTEMS[name]
    parts = [layers.ItemEmbedding, layers.InteractionEmbedding, system.sse, NextSessionRetrieval]
    arguments = [_arguments(part) for part in parts]
    values = {option: default for part in arguments for option, default in part.items()}
    values |= {"embedding_dim": 64, "num_interests": 1, "session_context": None, "trend": None}
    values |= system.defaults
    if system.choose_ise:
        values["ise"] = system.ise
    if system.ranking:
        values |= {"ranking_loss": "pairwise", "ranking_weight": 0.05, "relation": None}
    unknown = sorted(set(options) - set(values))
    if unknown:
        raise ValueError(
            f"Unknown options of {name!r}: {', '.join(unknown)}. It has: {', '.join(values)}"
        )
    values |= options
    ise = values.get("ise", system.ise)
    if ise not in ISES:
        raise ValueError(f"`ise` should be one of {', '.join(ISES)}. Received: `ise`={ise!r}")

    interests, context, dim = (
        values[name] for name in ("num_interests", "session_context", "embedding_dim")
    )
    items, interactions, sse, retrieval = (
        {option: values[option] for option in part} for part in arguments
    )
    backbone = SessionRecBackbone(
        layers.ItemEmbedding(vocabulary_size, **items, name="items"),
        ISES[ise](name="ise"),
        system.sse(**sse, name="sse"),
        None if interests == 1 else layers.MultiInterestHead(interests, name="head"),
        session_context=context and layers.SessionContext(context, dim, name="session_context"),
        interactions=layers.InteractionEmbedding(**interactions, name="interactions"),
    )
    ranking = None
    if values.get("ranking_loss") is not None:
        ranking = SessionRanking(values["ranking_loss"], name="ranking")
    task = NextSessionRetrieval(**retrieval, name="retrieval")
    relation = values.get("relation")
    if relation is not None:
        relation = layers.RelationFeatures(**relation, name="relation")
    trend = values["trend"]
    if trend is not None:
        first = values["first_item_index"]
        trend = layers.TrendFeatures(
            vocabulary_size, **{"first_item_index": first, **trend}, name="trend"
        )
    weight = values.get("ranking_weight", 0.0)
    return SessionRec(backbone, task, ranking, weight, trend=trend, relation=relation)


def _arguments(part: type) -> dict[str, Any]:
    """What `build` hands to a part: its arguments and their defaults."""
    left_out = {"self", "kwargs", "name", "vocabulary_size", "embeddings_initializer", "metrics"}
    parameters = inspect.signature(part.__init__).parameters  # type: ignore[misc]
    return {
        name: None if parameter.default is parameter.empty else parameter.default
        for name, parameter in parameters.items()
        if name not in left_out
    }
