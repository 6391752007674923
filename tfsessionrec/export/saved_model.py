"""Writing a SavedModel for TensorFlow Serving."""

import json
import operator
import os
import pathlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import tfsessionrec
from tfsessionrec.export.atomic_directory import MARKER, atomic_directory
from tfsessionrec.export.availability_file import FILE as AVAILABILITY_FILE
from tfsessionrec.export.availability_file import VOCABULARY, write_availability_file
from tfsessionrec.export.checksum import CHECKSUMS, write_checksums
from tfsessionrec.export.item_values import ItemValues
from tfsessionrec.export.serving_signatures import (
    NO_SCORE,
    SIGNATURES,
    ServingSignatures,
    input_shape,
)
from tfsessionrec.export.trend_file import FILE as TREND_FILE
from tfsessionrec.export.trend_file import write_trend_file
from tfsessionrec.export.warm_up import FILE as WARM_UP_FILE
from tfsessionrec.export.warm_up import checked_batch_sizes, write_warm_up_file

if TYPE_CHECKING:
    from tfsessionrec.data import Vocabulary

DESCRIPTION, METADATA = "signature.json", "metadata.json"
MEANINGS = {
    "item_ids": "raw ids of the history's items, oldest first, padding last",
    "session_index": "which session each item belongs to, -1 at padding",
    "labels": "1 taken, 0 shown but not taken",
    "timestamps": "unix seconds of each item",
    "interaction_types": "raw interaction type of each item, of `categories`; others are unknown",
    "k": "how many items each request asks for",
    "candidate_ids": "raw ids of the items to be scored",
    "position": "above 0 where an item of the history was one of a shown list",
    "request_times": "unix seconds of each request",
    "exclude_ids": "raw ids that must not be recommended, padded",
    "allow_ids": "the only raw ids that may be recommended, padded; all may with padding alone",
    "exclude_seen": "whether no item of the history may be recommended",
    "diversity": "0 (order of the scores) to 1 (items as unlike each other as can be)",
    "tag_mask": "the tags of which an item must have one, as a sum of their bits; 0 for any item",
    "freshness": "what is added to the score of a new item; halves as it ages; 0 for nothing",
    "max_per_category": "the most items of one category; 0 for no limit",
}


def export_saved_model(
    model: Any,
    path: str | os.PathLike[str],
    vocabulary: "Vocabulary",
    *,
    k: int = 100,
    max_sessions: int = 50,
    max_items: int = 20,
    next_item: bool = False,
    whole_history: bool = False,
    include_labels: bool = False,
    include_times: bool | None = None,
    interaction_types: Sequence[str | int] | None = None,
    session_context: Mapping[str, Sequence[str | int] | None] | None = None,
    trend_time: int | None = None,
    unavailable: Iterable[Any] | None = None,
    item_tags: ItemValues | None = None,
    item_categories: ItemValues | None = None,
    item_times: ItemValues | None = None,
    freshness_half_life: float = 7 * 86_400,
    similarity: str = "cosine",
    candidate_dtype: str = "float32",
    chunk_size: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    warm_up_batch_sizes: Sequence[int] = (1, 4, 16, 32),
    overwrite: bool = False,
) -> pathlib.Path:
    """Writes a SavedModel that takes raw ids and answers with raw ids and scores.

    Its signatures are `recommend` (also `serving_default`), `recommend_filtered`, `rank`, `encode`
    and `similar_items`; `ServingSignatures` says what goes in and out. The vocabulary travels along
    as an asset, the candidate embeddings as a table computed here, and `signature.json` describes
    it all. Warm-up requests, which a server replays before it serves the version, are answered
    here first; `check_saved_model` replays and compares them, and `checksums.json` and `SHA256SUMS`
    tell whether a file is damaged. The directory appears complete or not at all. TensorFlow Serving
    expects its name to be a version number, such as `next_version` gives.

    Args:
        model: Any object with `encode(features)` → [B, D] (or [B, M, D], M interests, of which the
            best one scores), where `features["item_ids"]` is int32 [B, S, I] (and
            `features["labels"]` float32 [B, S, I] with `include_labels`), and
            `candidate_embeddings()` → [len(vocabulary), D].
        path: The directory to write, on this machine, such as "exported/sessionrec/1".
        vocabulary: The `Vocabulary` the model was trained with.
        k: How many recommendations a client asks for when its user names no number; it is written
            into `signature.json`. It limits nothing: each request brings its own k. Defaults to
            100.
        max_sessions: Newest sessions of a history that are read, as in training. Defaults to 50.
        max_items: Newest items of each session that are read, as in training. Defaults to 20.
        next_item: Whether the model was trained on single items (`flatten_sessions`): each item of
            a history then becomes a session of its own, `max_items` has no say and
            `session_index` marks padding only. Defaults to False.
        whole_history: Whether the model was trained on histories of one session
            (`merge_sessions`): `session_index` marks padding only then, too. Defaults to False.
        include_labels: Whether the signatures take an input `labels` (1 taken, 0 shown but not
            taken). Signatures have no optional inputs: with True, every request must bring it.
            Defaults to False: every item of a history counts as taken.
        include_times: Whether they take `timestamps`, unix seconds of each item. Defaults to None:
            if `model.encode` reads `session_times` [B, S] or `item_times` [B, S, I].
        interaction_types: The interaction types in the order of training. With them, the
            signatures take `interaction_types`, raw. Defaults to None.
        session_context: Context features [B, S] of sessions: to each name its categories in the
            order of training, or None for a number. The signatures take each by its name, raw and
            for each item; a session has its first item's. Defaults to none.
        trend_time: For a model with a `trend`: the moment, unix seconds, of the trend table that
            the export begins with, made of the events that the model was told. It is replaced by
            `write_trend_file` while the model is served. Defaults to None: an empty table.
        unavailable: Raw ids of items that are not to be had when the export begins; none of them is
            recommended until `write_availability_file` says so, while the model is served. Defaults
            to None: all items are always to be had, and requests look for no such file.
        item_tags: For `recommend_filtered`: a bit for each of up to 64 tags that an item has; a map
            from raw ids, or an integer an item in the order of `vocabulary.ids`. The signature then
            takes `tag_mask`. Defaults to None.
        item_categories: For `recommend_filtered`: the category of each item, likewise; None for
            none. The signature then takes `max_per_category`. Defaults to None.
        item_times: For `recommend_filtered`: unix seconds since when each item is there, likewise;
            None for unknown. The signature then takes `freshness` and `request_times`. Defaults to
            None.
        freshness_half_life: Seconds in which the bonus of a new item halves. Defaults to 7 days.
        similarity: What `similar_items` compares embeddings by, "cosine" or "dot", the product.
            Defaults to "cosine".
        candidate_dtype: How the candidate embeddings are kept: "float32", "bfloat16", the smallest,
            which rounds them, or "int8", the fastest on a CPU; see `CandidateTable`. Defaults to
            "float32".
        chunk_size: How many candidates are scored at a time, see `CandidateTable`. Defaults to
            None.
        metadata: What made the model, such as its configuration and metrics: JSON values, written
            to `metadata.json`. Defaults to None: no such file.
        warm_up_batch_sizes: Rows of the warm-up requests; none above the server's `max_batch_size`.
            Empty for no warm-up. Defaults to (1, 4, 16, 32).
        overwrite: Whether an export at `path` may be replaced. Defaults to False.

    Returns:
        The path.

    Raises:
        FileExistsError: If `path` exists and may not be replaced.
        ValueError: If an argument is not what it should be, an id cannot be a line of a file, or
            the model does not take the longest history, gives embeddings of the wrong shape or
            answers with a number that is not finite.

    Example:

    ```python
    path = sr.export.export_saved_model(model, "exported/sessionrec/1", vocabulary, k=100)
    sr.export.load_saved_model(path).recommend(["shoes", "socks"], k=10)
    ```
    """
    for name, value in {"k": k, "max_sessions": max_sessions, "max_items": max_items}.items():
        if not _is_positive_integer(value):
            raise ValueError(f"`{name}` should be a positive integer. Received: `{name}`={value!r}")
    for name in ("encode", "candidate_embeddings"):
        if not callable(getattr(model, name, None)):
            raise ValueError(
                "`model` should offer `encode(features)` and `candidate_embeddings()`. "
                f"Received: `model`={model!r} without `{name}`"
            )
    if "://" in os.fspath(path):
        raise ValueError(f"`path` should be a local directory. Received: `path`={path!r}")
    lines = vocabulary_lines(vocabulary)
    facts = None if metadata is None else _metadata_text(metadata)
    warm_up_batch_sizes = checked_batch_sizes(warm_up_batch_sizes)

    with (
        atomic_directory(path, overwrite=overwrite) as directory,
        tempfile.TemporaryDirectory() as scratch,
    ):
        vocabulary_file = pathlib.Path(scratch, VOCABULARY)
        vocabulary_file.write_bytes(lines)
        trend_file = None
        if getattr(model, "trend", None) is not None:
            trend_file = pathlib.Path(scratch, TREND_FILE)
            table = model.trend.table(0 if trend_time is None else trend_time)
            write_trend_file(trend_file, table, vocabulary.first_item_index)
        availability_file = None
        if unavailable is not None:
            availability_file = pathlib.Path(scratch, AVAILABILITY_FILE)
            write_availability_file(availability_file, unavailable)
        module = ServingSignatures(
            model,
            vocabulary,
            vocabulary_file,
            max_sessions=max_sessions,
            max_items=max_items,
            next_item=next_item,
            whole_history=whole_history,
            include_labels=include_labels,
            include_times=include_times,
            interaction_types=interaction_types,
            session_context=session_context,
            trend_file=trend_file,
            availability_file=availability_file,
            item_tags=item_tags,
            item_categories=item_categories,
            item_times=item_times,
            freshness_half_life=freshness_half_life,
            similarity=similarity,
            candidate_dtype=candidate_dtype,
            chunk_size=chunk_size,
        )
        functions = module.concrete_functions()
        functions["serving_default"] = functions["recommend"]
        tf.saved_model.save(
            module,
            os.fspath(directory),
            signatures=functions,
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )
        _drop_compilation_requirements(directory)
        if facts is not None:
            (directory / METADATA).write_text(facts)
        model_name = pathlib.Path(path).absolute().parent.name
        records = write_warm_up_file(
            directory, model_name, module, functions, vocabulary.ids, k, warm_up_batch_sizes
        )
        description = {
            **_describe(module, functions, k),
            **({"metadata": {"file": METADATA}} if facts is not None else {}),
            **({"warm_up": {"file": WARM_UP_FILE, "records": records}} if records else {}),
            "checksums": {"file": CHECKSUMS},
        }
        (directory / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
        replaceable = (description.get(kind, {}).get("file") for kind in ("trend", "availability"))
        write_checksums(directory, filter(None, replaceable))
    return pathlib.Path(path)


def vocabulary_lines(vocabulary: "Vocabulary") -> bytes:
    """The raw ids, one a line.

    Raises:
        ValueError: If an id is no line.
    """
    ids = [str(item) for item in vocabulary.ids]
    for item in ids:
        # TensorFlow's reader of lines drops carriage returns.
        if not item or "\n" in item or "\r" in item:
            raise ValueError(
                "`vocabulary` should hold ids that are neither empty nor contain a line break, "
                f"to be exported as a file of lines. Received: the id {item!r}"
            )
    return ("\n".join(ids) + "\n").encode()


def _metadata_text(metadata: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(metadata), indent=2, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"`metadata` should hold JSON values. Received: {error}") from error


def _is_positive_integer(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and operator.index(value) > 0
    except TypeError:
        return False


def _drop_compilation_requirements(directory: pathlib.Path) -> None:
    """Lets functions of the model made with `jit_compile=True` run without XLA.

    TensorFlow Serving refuses to run them on a CPU. The mark changes how a function is run, never
    what it computes.
    """
    file = directory / MARKER
    saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    mark = "_XlaMustCompile"
    found = False
    for meta_graph in saved_model.meta_graphs:
        graph = meta_graph.graph_def
        functions = graph.library.function
        nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
        for holder in (*functions, *nodes):
            if mark in holder.attr:
                found |= holder.attr[mark].b
                del holder.attr[mark]
    if found:
        file.write_bytes(saved_model.SerializeToString(deterministic=True))
        # It is optional, and it is the fingerprint of another graph now.
        (directory / "fingerprint.pb").unlink(missing_ok=True)


def _describe(module: ServingSignatures, functions: dict[str, Any], k: int) -> dict[str, Any]:
    """What a person or a client should know of an export."""
    signatures = {}
    queries = functions["encode"].structured_outputs["query_embeddings"]
    interests = {} if module.num_interests is None else {"M": module.num_interests}
    for name, (_, outputs) in SIGNATURES.items():
        answered = functions[name].structured_outputs
        signatures[name] = {
            "inputs": {
                key: {"dtype": spec.dtype.name, "shape": list(input_shape(key, name))}
                for key, spec in module.input_specs(name).items()
            },
            "outputs": {
                key: {"dtype": answered[key].dtype.name, "shape": list(shape)}
                for key, shape in outputs.items()
            },
        }
    if interests:
        signatures["encode"]["outputs"]["query_embeddings"]["shape"] = ["B", "M", "D"]
    return {
        "format": 1,
        "signatures": {**signatures, "serving_default": signatures["recommend"]},
        "inputs": {
            **{
                name: meaning
                for name, meaning in MEANINGS.items()
                if any(name in module.input_specs(signature) for signature in SIGNATURES)
            },
            **{
                name: "of each item's session, the first item's counts: "
                + ("raw, of `categories`; others are unknown" if known else "a number")
                for name in module.session_context
                for known in [name in module.categories]
            },
        },
        "categories": module.categories,
        "session_context": list(module.session_context),
        "dimensions": {
            "B": "requests in the batch",
            "N": "items of history, oldest first, padding last",
            "C": "candidates",
            "X": "excluded items",
            "A": "allowed items",
            "K": "min(largest k of the batch, num_items)",
            "D": queries.shape[-1],
            **interests,
        },
        "padding": {
            "session_index": -1,
            "item_ids": module.padding_id,
            "exclude_ids": module.padding_id,
            "allow_ids": module.padding_id,
            "scores": NO_SCORE,
        },
        "k": operator.index(k),
        "limits": {
            "max_sessions": operator.index(module.max_sessions),
            "max_items": operator.index(module.max_items),
        },
        "next_item": module.next_item,
        "whole_history": module.whole_history,
        "include_labels": module.include_labels,
        "include_times": module.include_times,
        "vocabulary": {
            "file": f"assets/{VOCABULARY}",
            "dtype": module.id_dtype.name,
            "num_items": module.num_items,
        },
        "similarity": module.similarity,
        "candidate_dtype": module.candidate_dtype,
        **(
            {"freshness_half_life": module.freshness_half_life}
            if "freshness" in module.rule_inputs
            else {}
        ),
        **(
            {"availability": {"file": f"assets/{AVAILABILITY_FILE}"}}
            if module.has_availability
            else {}
        ),
        **({"trend": {"file": f"assets/{TREND_FILE}"}} if module.has_trend else {}),
        "versions": {"tfsessionrec": tfsessionrec.__version__, "tensorflow": tf.__version__},
    }
