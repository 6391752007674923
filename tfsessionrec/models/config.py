"""Systems by name, and how each is trained unless told otherwise."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from tfsessionrec import layers
from tfsessionrec.models.backbone import SessionRecBackbone
from tfsessionrec.models.session_rec import SessionRec
from tfsessionrec.tasks import NextSessionRetrieval, SessionRanking


class Recipe(NamedTuple):
    """How a system is trained unless told otherwise.

    Attributes:
        next_item: True for next-item systems: `data.flatten_sessions` first, one item a session.
        max_sessions: Sessions (for next-item systems: items) of a history that are read.
        max_items: Items of a session that are read.
        batch_positions: Positions a batch.
        epochs: Passes over the log.
        learning_rate: Of Adam.
        beta_2: Of Adam.
    """

    next_item: bool
    max_sessions: int = 50
    max_items: int = 20
    batch_positions: int = 1024
    epochs: int = 20
    learning_rate: float = 1e-3
    beta_2: float = 0.98


_RECIPES = {
    "sasrec": Recipe(next_item=True, max_items=1, epochs=36),
    "sessionrec-sasrec": Recipe(next_item=False),
}


def names() -> tuple[str, ...]:
    """Names that `build` and `recipe` know."""
    return tuple(_RECIPES)


def recipe(name: str) -> Recipe:
    """How the system of that name is trained unless told otherwise.

    Raises:
        ValueError: If the name is not known.
    """
    if name not in _RECIPES:
        raise ValueError(f"`name` should be one of {', '.join(names())}. Received: `name`={name!r}")
    return _RECIPES[name]


def build(name: str, *, vocabulary_size: int, **options: Any) -> SessionRec:
    """Makes a system by name, not compiled.

    `"sasrec"`: SASRec, next item, full softmax. `"sessionrec-sasrec"`: SessionRec with mean
    pooling inside sessions and SASRec across them, next session, retrieval and ranking.

    Args:
        name: One of `names()`.
        vocabulary_size: `len(vocabulary)`.
        **options: Any of `embedding_dim`, `num_layers`, `num_heads`, `intermediate_dim`,
            `dropout`, `max_length`, `features`, `num_interaction_types`, `negatives`,
            `num_negatives`, `temperature`, `candidate_sampling_probability`, `first_item_index`,
            `loss` (of retrieval); for `"sessionrec-sasrec"` also `ise` (`"mean"`, `"max"`),
            `ranking_loss` (`"pairwise"`, `"bce"`, `"listwise"`, None) and `ranking_weight`.

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
    maker = _MAKERS[name]
    known = [
        option for option in inspect.signature(maker).parameters if option != "vocabulary_size"
    ]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"Unknown options of {name!r}: {', '.join(unknown)}. It has: {', '.join(known)}"
        )
    return maker(vocabulary_size, **options)


def _sasrec(
    vocabulary_size: int,
    embedding_dim: int = 64,
    num_layers: int = 2,
    num_heads: int = 2,
    intermediate_dim: int | None = None,
    dropout: float = 0.4,
    max_length: int = 256,
    features: Any = None,
    num_interaction_types: int = 0,
    negatives: str = "full",
    num_negatives: int = 512,
    temperature: float = 1.0,
    candidate_sampling_probability: Any = None,
    first_item_index: int = 2,
    loss: str = "softmax",
) -> SessionRec:
    items = layers.ItemEmbedding(
        vocabulary_size,
        embedding_dim,
        features=features,
        interaction_embedding=False,
        num_interaction_types=num_interaction_types,
        name="items",
    )
    sse = layers.SASRecSSE(num_layers, num_heads, intermediate_dim, dropout, max_length, name="sse")
    retrieval = NextSessionRetrieval(
        negatives,
        num_negatives,
        temperature,
        candidate_sampling_probability,
        first_item_index,
        loss,
        name="retrieval",
    )
    return SessionRec(SessionRecBackbone(items, layers.MeanISE(name="ise"), sse), retrieval)


def _sessionrec_sasrec(
    vocabulary_size: int,
    embedding_dim: int = 64,
    num_layers: int = 2,
    num_heads: int = 2,
    intermediate_dim: int | None = None,
    dropout: float = 0.2,
    max_length: int = 256,
    features: Any = None,
    num_interaction_types: int = 0,
    ise: str = "mean",
    negatives: str = "uniform",
    num_negatives: int = 512,
    temperature: float = 1.0,
    candidate_sampling_probability: Any = None,
    first_item_index: int = 2,
    loss: str = "softmax",
    ranking_loss: str | None = "pairwise",
    ranking_weight: float = 0.05,
) -> SessionRec:
    encoders = {"mean": layers.MeanISE, "max": layers.MaxISE}
    if ise not in encoders:
        raise ValueError(f"`ise` should be one of {', '.join(encoders)}. Received: `ise`={ise!r}")
    items = layers.ItemEmbedding(
        vocabulary_size,
        embedding_dim,
        features=features,
        num_interaction_types=num_interaction_types,
        name="items",
    )
    sse = layers.SASRecSSE(num_layers, num_heads, intermediate_dim, dropout, max_length, name="sse")
    retrieval = NextSessionRetrieval(
        negatives,
        num_negatives,
        temperature,
        candidate_sampling_probability,
        first_item_index,
        loss,
        name="retrieval",
    )
    ranking = None if ranking_loss is None else SessionRanking(ranking_loss, name="ranking")
    backbone = SessionRecBackbone(items, encoders[ise](name="ise"), sse)
    return SessionRec(backbone, retrieval, ranking, ranking_weight)


_MAKERS: dict[str, Callable[..., SessionRec]] = {
    "sasrec": _sasrec,
    "sessionrec-sasrec": _sessionrec_sasrec,
}
