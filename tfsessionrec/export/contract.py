"""The contract of an export with its clients: names, sizes and meanings of what goes in and out."""

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import tensorflow as tf

import tfsessionrec

if TYPE_CHECKING:
    from tfsessionrec.export.signatures import ServingSignatures

Json = dict[str, Any]
ConcreteFunction: TypeAlias = tf.types.experimental.ConcreteFunction

# Files of an export.
DESCRIPTION, METADATA = "signature.json", "metadata.json"
VOCABULARY, AVAILABILITY, TREND = (
    f"assets/{name}" for name in ("vocabulary.txt", "availability.pb", "trend.pb")
)
WARM_UP = "assets.extra/tf_serving_warmup_requests"

# Names and sizes of all inputs and outputs. B requests, N items of history, C candidates, X and A
# items of a list, K recommendations, D embedding dimension. Where a query has M > 1 interests,
# `encode` answers [B, M, D].
INPUTS: dict[str, tuple[str, ...]] = {
    "item_ids": ("B", "N"),
    "session_index": ("B", "N"),
    "labels": ("B", "N"),
    "timestamps": ("B", "N"),
    "interaction_types": ("B", "N"),
    "k": ("B",),
    "candidate_ids": ("B", "C"),
    "position": ("B", "N"),
    "request_times": ("B",),
    "exclude_ids": ("B", "X"),
    "allow_ids": ("B", "A"),
    "exclude_seen": ("B",),
    "diversity": ("B",),
    "tag_mask": ("B",),
    "freshness": ("B",),
    "max_per_category": ("B",),
}
CANDIDATE = "candidate_"  # prefix of an input that is a column of the candidates
SIGNATURES: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "recommend": (("k",), {"item_ids": ("B", "K"), "scores": ("B", "K")}),
    "recommend_filtered": (
        ("k", "exclude_ids", "allow_ids", "exclude_seen", "diversity"),
        {"item_ids": ("B", "K"), "scores": ("B", "K")},
    ),
    "rank": (("candidate_ids",), {"scores": ("B", "C"), "known": ("B", "C")}),
    "encode": ((), {"query_embeddings": ("B", "D")}),
    "similar_items": (
        ("k",),
        {"item_ids": ("B", "K"), "scores": ("B", "K"), "known": ("B",)},
    ),
}
MEANINGS = {
    "item_ids": "raw ids of the history's items, oldest first, padding last",
    "session_index": "which session each item belongs to, -1 at padding",
    "labels": "1 positive, 0 shown but not clicked",
    "timestamps": "unix seconds of each item; after the year 10000 (milliseconds) is an error",
    "interaction_types": "raw interaction type of each item, of `categories`; others are unknown",
    "k": "how many items each request asks for",
    "candidate_ids": "raw ids of the items to be scored",
    "position": "above 0 where an item of the history was one of a shown list",
    "request_times": "unix seconds of each request, before the year 10000",
    "exclude_ids": "raw ids that must not be recommended, padded",
    "allow_ids": "the only raw ids that may be recommended, padded; all may with padding alone",
    "exclude_seen": "whether no item of the history may be recommended",
    "diversity": "0 (order of the scores) to 1 (items as unlike each other as possible)",
    "tag_mask": "the tags of which an item must have one, as a sum of their bits; 0 for any item",
    "freshness": "bonus added to the score of a new item; halves as it ages; 0 for none",
    "max_per_category": "the most items of one category; 0 for no limit",
}
NO_SCORE = float(tf.float32.min)  # finite, so that JSON can carry it


def input_shape(name: str, signature: str = "recommend") -> tuple[str, ...]:
    """Sizes of an input by their letters; a context feature has one value per item."""
    if signature == "similar_items":
        return ("B",)
    if name.startswith(CANDIDATE):
        return ("B", "C")
    return INPUTS.get(name, ("B", "N"))


def describe(
    signatures: "ServingSignatures", functions: Mapping[str, ConcreteFunction], k: int
) -> Json:
    """The content of `signature.json`: the description of an export for people and clients.

    Args:
        signatures: The signatures.
        functions: Their concrete functions by name.
        k: How many items a request asks for by default.
    """
    spec, described = signatures.spec, _described_signatures(signatures, functions)
    interests = {} if signatures.num_interests == 1 else {"M": signatures.num_interests}
    padding = spec.padding_id
    optional: Json = {}
    if "freshness" in signatures.rule_inputs:
        optional["freshness_half_life"] = signatures.items.freshness_half_life
    if signatures.has_availability:
        optional["availability"] = {"file": AVAILABILITY}
    if spec.request_times:
        optional["trend"] = {"file": TREND}
    return {
        "format": 1,
        "signatures": {**described, "serving_default": described["recommend"]},
        "inputs": _meanings(signatures),
        "history": spec.to_json(),
        "categories": {name: list(values) for name, values in signatures.categories.items()},
        "dimensions": {
            "B": "requests in the batch",
            "N": "items of history, oldest first, padding last",
            "C": "candidates",
            "X": "excluded items",
            "A": "allowed items",
            "K": "min(largest k of the batch, num_items)",
            "D": functions["encode"].structured_outputs["query_embeddings"].shape[-1],
            **interests,
        },
        "padding": {
            "session_index": -1,
            **dict.fromkeys(("item_ids", "exclude_ids", "allow_ids"), padding),
            "scores": NO_SCORE,
        },
        "k": operator.index(k),
        "limits": {"max_sessions": spec.max_sessions, "max_items": signatures.request.max_items},
        "vocabulary": {
            "file": VOCABULARY,
            "dtype": signatures.id_dtype.name,
            "num_items": signatures.num_items,
        },
        "similarity": signatures.candidates.similarity,
        "candidate_dtype": signatures.candidates.dtype,
        **optional,
        "versions": {"tfsessionrec": tfsessionrec.__version__, "tensorflow": tf.__version__},
    }


def _described_signatures(
    signatures: "ServingSignatures", functions: Mapping[str, ConcreteFunction]
) -> dict[str, Json]:
    described = {}
    for name, (_, outputs) in SIGNATURES.items():
        answered = functions[name].structured_outputs
        described[name] = {
            "inputs": {
                key: {"dtype": spec.dtype.name, "shape": list(input_shape(key, name))}
                for key, spec in signatures.input_specs(name).items()
            },
            "outputs": {
                key: {"dtype": answered[key].dtype.name, "shape": list(shape)}
                for key, shape in outputs.items()
            },
        }
    if signatures.num_interests > 1:
        described["encode"]["outputs"]["query_embeddings"]["shape"] = ["B", "M", "D"]
    return described


def _meanings(signatures: "ServingSignatures") -> dict[str, str]:
    names = {name for signature in SIGNATURES for name in signatures.input_specs(signature)}
    meanings = {name: meaning for name, meaning in MEANINGS.items() if name in names}
    for name, values in signatures.spec.session_context.items():
        kind = "a number" if values is None else "raw, of `categories`; others are unknown"
        meanings[name] = f"of each item's session, the first item's counts: {kind}"
    return meanings
