"""Writing a SavedModel for TensorFlow Serving."""

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from tfsessionrec import checks
from tfsessionrec.checks import positive_integer
from tfsessionrec.export.candidate_table import DTYPES
from tfsessionrec.export.checksum import CHECKSUMS, write_checksums
from tfsessionrec.export.contract import (
    AVAILABILITY,
    DESCRIPTION,
    METADATA,
    TREND,
    VOCABULARY,
    WARM_UP,
    ConcreteFunction,
    describe,
)
from tfsessionrec.export.history import resolved_spec
from tfsessionrec.export.item_attributes import ItemAttributes, ItemValues
from tfsessionrec.export.live_files import write_availability_file, write_trend_file
from tfsessionrec.export.ranking import CandidateOptions
from tfsessionrec.export.request import vocabulary_lines
from tfsessionrec.export.served_model import trend_of
from tfsessionrec.export.signatures import ServingSignatures
from tfsessionrec.export.tracing import drop_compilation_requirements
from tfsessionrec.export.version_directory import NOT_WRITABLE, atomic_directory
from tfsessionrec.export.warm_up import checked_batch_sizes, write_warm_up_file
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.query_model import as_query_model

if TYPE_CHECKING:
    from tfsessionrec.data import Vocabulary


def export_saved_model(
    model: object,
    path: str | os.PathLike[str],
    vocabulary: "Vocabulary",
    *,
    spec: HistorySpec | None = None,
    k: int = 100,
    max_sessions: int | None = None,
    max_items: int | None = None,
    trend_time: int | None = None,
    unavailable: Iterable[object] | None = None,
    item_tags: ItemValues | None = None,
    item_categories: ItemValues | None = None,
    item_times: ItemValues | None = None,
    freshness_half_life: float = 7 * 86_400,
    similarity: str = "cosine",
    candidate_dtype: str = "float32",
    chunk_size: int | None = None,
    metadata: Mapping[str, object] | None = None,
    warm_up_batch_sizes: Sequence[int] = (1, 4, 16, 32),
    overwrite: bool = False,
    **deprecated: object,
) -> pathlib.Path:
    """Writes a SavedModel that takes raw ids and answers with raw ids and scores.

    Its signatures are `recommend` (also `serving_default`), `recommend_filtered`, `rank`, `encode`
    and `similar_items`; `ServingSignatures` documents inputs and outputs. The vocabulary is an
    asset of the export, the candidate embeddings are a table computed here, and `signature.json`
    describes all of it. Warm-up requests, which a server replays before it serves the version, are
    answered here first; `check_saved_model` replays and compares them, and `checksums.json` and
    `SHA256SUMS` show whether a file is damaged. The directory appears complete or not at all.
    TensorFlow Serving expects its name to be a version number, such as `next_version` gives.

    Args:
        model: A `query_model.QueryModel`, or any object with `encode(features)` → [B, D] (or
            [B, M, D] for M interests, of which the best one scores), where `features` is a session
            batch with `item_ids` int32 [B, S, I], and `candidate_embeddings()` →
            [len(vocabulary), D].
        path: The directory to write, on this machine, such as "exported/sessionrec/1".
        vocabulary: The `Vocabulary` the model was trained with.
        spec: The `HistorySpec` of training: what a session is, the limits, and what the model reads
            of a history. The signatures take `labels` (1 positive, 0 shown but not clicked),
            `timestamps`, `interaction_types` and context features, where the model reads them.
            Signatures have no optional inputs: every request must bring them. Defaults to None:
            real sessions of positive items, with times if `model.reads` them.
        k: How many recommendations a client asks for if its user gives no number; it is written
            into `signature.json`. It limits nothing: each request brings its own k. Defaults to
            100.
        max_sessions: Without `spec`: newest sessions of a history that are read, as in training.
            Defaults to 50.
        max_items: Without `spec`: newest items of each session that are read, as in training.
            Defaults to 20.
        trend_time: For a model with a `trend`: the time, unix seconds, of the trend table that
            the export begins with, made of the events in the model. `write_trend_file` replaces it
            while the model is served. Defaults to None: an empty table.
        unavailable: Raw ids of items that are unavailable when the export begins; none of them is
            recommended until `write_availability_file` changes that, while the model is served.
            Defaults to None: all items are always available, and requests look for no such file.
        item_tags: For `recommend_filtered`: a bit for each of up to 64 tags that an item has; a map
            from raw ids, or an integer an item in the order of `vocabulary.ids`. The signature then
            takes `tag_mask`. Defaults to None.
        item_categories: For `recommend_filtered`: the category of each item, likewise; None for
            none. The signature then takes `max_per_category`. Defaults to None.
        item_times: For `recommend_filtered`: unix seconds since when each item exists, likewise;
            None for unknown. The signature then takes `freshness` and `request_times`. Defaults to
            None.
        freshness_half_life: Seconds in which the bonus of a new item halves. Defaults to 7 days.
        similarity: How `similar_items` compares embeddings, "cosine" or "dot", the product.
            Defaults to "cosine".
        candidate_dtype: How the candidate embeddings are stored: "float32", "bfloat16", the
            smallest, which rounds them, or "int8", the fastest on a CPU; see `CandidateTable`.
            Defaults to "float32".
        chunk_size: How many candidates are scored at a time, see `CandidateTable`. Defaults to
            None.
        metadata: What made the model, such as its configuration and metrics: JSON values, written
            to `metadata.json`. Defaults to None: no such file.
        warm_up_batch_sizes: Rows of the warm-up requests; none above the server's `max_batch_size`.
            Empty for no warm-up. Defaults to (1, 4, 16, 32).
        overwrite: Whether an export at `path` may be replaced. Defaults to False.
        **deprecated: `next_item`, `whole_history`, `include_labels`, `include_times`,
            `interaction_types` and `session_context`, which `spec` replaces.

    Returns:
        The path.

    Raises:
        FileExistsError: If `path` exists and may not be replaced.
        TypeError: If `model` is no such object, or an argument is unknown.
        ValueError: If an argument is out of its range, an id cannot be a line of a file, or
            the model does not take the longest history, gives embeddings of the wrong shape or
            answers with a number that is not finite.

    Example:

    ```python
    path = sr.export.export_saved_model(model, "exported/sessionrec/1", vocabulary, k=100)
    sr.export.load_saved_model(path).recommend(["shoes", "socks"], k=10)
    ```
    """
    k = positive_integer("k", k)
    _check_arguments(path, vocabulary, spec, overwrite, candidate_dtype)
    as_query_model(model)
    limits = {"max_sessions": max_sessions, "max_items": max_items}
    spec = resolved_spec(spec, model, vocabulary, limits, deprecated)
    items = ItemAttributes(item_tags, item_categories, item_times, freshness_half_life)
    candidates = CandidateOptions(candidate_dtype, chunk_size, similarity)
    lines = vocabulary_lines(vocabulary)
    facts = None if metadata is None else _metadata_text(metadata)
    warm_up_batch_sizes = checked_batch_sizes(warm_up_batch_sizes)

    with (
        atomic_directory(path, overwrite=overwrite) as directory,
        tempfile.TemporaryDirectory() as scratch,
        _write_errors(directory),
    ):
        files = _write_assets(
            pathlib.Path(scratch), model, vocabulary, lines, trend_time, unavailable
        )
        signatures = ServingSignatures(
            model, vocabulary, spec=spec, items=items, candidates=candidates, **files
        )
        functions = _save(signatures, directory)
        model_name = pathlib.Path(path).absolute().parent.name
        records = write_warm_up_file(
            directory, model_name, signatures, functions, vocabulary.ids, k, warm_up_batch_sizes
        )
        description = describe(signatures, functions, k)
        if facts is not None:
            (directory / METADATA).write_text(facts)
            description["metadata"] = {"file": METADATA}
        if records:
            description["warm_up"] = {"file": WARM_UP, "records": records}
        description["checksums"] = {"file": CHECKSUMS}
        (directory / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
        write_checksums(directory, (TREND, AVAILABILITY))
    return pathlib.Path(path)


def _check_arguments(
    path: object, vocabulary: object, spec: object, overwrite: object, candidate_dtype: object
) -> None:
    from tfsessionrec.data import Vocabulary

    checks.path("path", path)
    if "://" in os.fspath(path):  # type: ignore[call-overload]
        raise ValueError(f"`path` should be a local directory. Received: `path`={path!r}")
    checks.instance("vocabulary", vocabulary, Vocabulary)
    if spec is not None:
        checks.instance("spec", spec, HistorySpec)
    checks.boolean("overwrite", overwrite)
    checks.choice("candidate_dtype", candidate_dtype, DTYPES)


def _save(signatures: ServingSignatures, directory: pathlib.Path) -> dict[str, ConcreteFunction]:
    """Writes the SavedModel; returns its functions by signature name."""
    functions = signatures.concrete_functions()
    functions["serving_default"] = functions["recommend"]
    tf.saved_model.save(
        signatures,
        os.fspath(directory),
        signatures=functions,
        options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
    )
    drop_compilation_requirements(directory)
    return functions


@contextlib.contextmanager
def _write_errors(directory: pathlib.Path) -> Iterator[None]:
    """Raises as an `OSError` what TensorFlow raises of a file that it cannot write."""
    try:
        yield
    except tf.errors.OpError as error:
        text = error.message.partition("\n")[0]
        number = next((n for n in NOT_WRITABLE if os.strerror(n) in text), None)
        if number is None:
            raise
        raise OSError(number, text, os.fspath(directory)) from error


def _write_assets(
    scratch: pathlib.Path,
    model: object,
    vocabulary: "Vocabulary",
    lines: bytes,
    trend_time: int | None,
    unavailable: Iterable[object] | None,
) -> dict[str, pathlib.Path]:
    """Writes the files that become assets, by the arguments of `ServingSignatures`."""

    def file(name: str) -> pathlib.Path:
        return scratch / pathlib.PurePath(name).name

    file(VOCABULARY).write_bytes(lines)
    files = {"vocabulary_file": file(VOCABULARY)}
    trend = trend_of(model)
    if trend is not None:
        table = trend.table(0 if trend_time is None else trend_time)
        write_trend_file(file(TREND), table, vocabulary.first_item_index)
        files["trend_file"] = file(TREND)
    if unavailable is not None:
        write_availability_file(file(AVAILABILITY), unavailable)
        files["availability_file"] = file(AVAILABILITY)
    return files


def _metadata_text(metadata: Mapping[str, object]) -> str:
    try:
        return json.dumps(dict(metadata), indent=2, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"`metadata` should hold JSON values. Received: {error}") from error
