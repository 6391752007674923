"""Requests that a server replays before it serves an export."""

import operator
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfsessionrec.checks import sequence
from tfsessionrec.export.contract import SIGNATURES, WARM_UP, ConcreteFunction, input_shape
from tfsessionrec.export.prediction_log import PredictionLog
from tfsessionrec.export.signatures import ServingSignatures

MAX_RECORDS = 1000  # a server refuses more
_BEGIN, _DAY, _MINUTE = 1_700_000_000, 86_400, 60
_LISTED = 20  # places in a list of ids to exclude or to allow
_RULES = {"max_per_category": 10}

Inputs = dict[str, np.ndarray]


def write_warm_up_file(
    directory: str | os.PathLike[str],
    model_name: str,
    module: ServingSignatures,
    functions: Mapping[str, ConcreteFunction],
    ids: np.ndarray,
    k: int,
    batch_sizes: Sequence[int],
) -> int:
    """Sends `warm_up_requests` to every signature and writes requests and answers.

    The file is a TFRecord of `PredictionLog`. A server replays the requests, one after the other,
    before the version is available; one that fails fails the load. `check_saved_model` also
    compares the answers.

    Args:
        directory: The export.
        model_name: The name of the model in the records.
        module: The signatures.
        functions: Their concrete functions by name, under which they are served.
        ids: Raw ids of the vocabulary, most popular first.
        k: How many items a request asks for.
        batch_sizes: Rows of the requests; none for no file.

    Returns:
        How many records there are.

    Raises:
        ValueError: If there are more records than a server takes, or an answer is not finite.
    """
    requests = list(warm_up_requests(module, ids, k, batch_sizes))
    # The default is the same function, but a server prepares each signature by itself.
    requests += [
        ("serving_default", inputs)
        for signature, inputs in requests
        if functions.get("serving_default") is functions[signature]
    ]
    if len(requests) > MAX_RECORDS:
        raise ValueError(
            f"`warm_up_batch_sizes` should make no more than {MAX_RECORDS} records. Received: "
            f"{len(batch_sizes)} sizes, which make {len(requests)}"
        )
    if not requests:
        return 0
    path = pathlib.Path(directory, WARM_UP)
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for signature, inputs in requests:
            tensors = {name: tf.constant(value) for name, value in inputs.items()}
            outputs = {n: v.numpy() for n, v in functions[signature](**tensors).items()}
            for name, value in outputs.items():
                if value.dtype.kind == "f" and not np.isfinite(value).all():
                    raise ValueError(
                        "The model should answer histories with finite numbers. Received: "
                        f"`{name}` of `{signature}` with {(~np.isfinite(value)).sum()} that are "
                        "infinite or not a number"
                    )
            writer.write(PredictionLog(model_name, signature, inputs, outputs).to_bytes())
    return len(requests)


def read_warm_up_file(directory: str | os.PathLike[str]) -> list[PredictionLog]:
    """The records of an export, in order; none if there is no such file.

    Raises:
        ValueError: If the file is damaged.
    """
    path = pathlib.Path(directory, WARM_UP)
    if not path.exists():
        return []
    try:
        records = list(tf.data.TFRecordDataset(os.fspath(path)).as_numpy_iterator())
    except tf.errors.OpError as error:
        raise ValueError(f"`{WARM_UP}` is damaged: {error.message}") from error
    return [PredictionLog.from_bytes(record) for record in records]


def warm_up_requests(
    module: ServingSignatures, ids: np.ndarray, k: int, batch_sizes: Sequence[int]
) -> Iterator[tuple[str, Inputs]]:
    """Requests of every kind for each signature: (signature, inputs by name).

    Popular items are more frequent, as in a log: as many are of the first n of the vocabulary as
    of the next n². For each signature and batch size there are short histories without a rule, and
    rows of every kind: longer than the model reads, empty, short, and with an unknown item; half of
    them with rules.

    Args:
        module: The signatures.
        ids: Raw ids of the vocabulary, most popular first.
        k: How many items a request asks for.
        batch_sizes: Rows of the requests.

    Example:

    ```python
    for signature, inputs in warm_up_requests(module, vocabulary.ids, k=100, batch_sizes=[1, 8]):
        functions[signature](**inputs)
    ```
    """
    drawn = _Drawn(module, ids, k)
    for signature in SIGNATURES:
        for size in batch_sizes:
            kinds = [drawn.over_long(), [], [1, 2], [3, 1, 4]]
            for first in range(len(kinds)) if size == 1 else [0]:
                rows = [kinds[(first + row) % len(kinds)] for row in range(size)]
                yield signature, drawn.inputs(signature, rows, ruled=True)
            short = [[1 + row % 3, 2] for row in range(size)]
            yield signature, drawn.inputs(signature, short, ruled=False)


class _Drawn:
    """Random inputs from a vocabulary, the same at every export."""

    def __init__(self, module: ServingSignatures, ids: np.ndarray, k: int) -> None:
        self._module = module
        self._ids = ids
        self._k = k
        self._num_candidates = min(k, len(ids)) + 2  # and an unknown one and padding
        self._random = np.random.default_rng(0)
        known = set(ids.tolist())
        strings = module.id_dtype == tf.string
        names = (f"unknown {n}" if strings else n for n in range(len(ids) + 1))
        self._unknown = next(name for name in names if name not in known)

    def over_long(self) -> list[int]:
        """Sizes of sessions of which the model reads neither all nor the last one whole."""
        return [1] * self._module.spec.max_sessions + [self._module.request.max_items + 1]

    def inputs(self, signature: str, rows: list[list[int]], ruled: bool) -> Inputs:
        """One request.

        Args:
            signature: Of which signature.
            rows: The sizes of each row's sessions.
            ruled: Whether every other row, from the first on, has rules.
        """
        session_index = np.full([len(rows), max(1, *map(sum, rows))], -1, np.int32)
        for row, sizes in enumerate(rows):
            session_index[row, : sum(sizes)] = np.repeat(np.arange(len(sizes)), sizes)
        has_rules = np.arange(len(rows)) % 2 == 0 if ruled else np.zeros(len(rows), bool)
        return {
            name: self._input(name, spec, input_shape(name, signature), session_index, has_rules)
            for name, spec in self._module.input_specs(signature).items()
        }

    def _input(
        self,
        name: str,
        spec: tf.TensorSpec,
        shape: tuple[str, ...],
        session_index: np.ndarray,
        has_rules: np.ndarray,
    ) -> np.ndarray:
        dtype = spec.dtype.as_numpy_dtype
        if name == "session_index":
            return session_index
        if shape == ("B", "N"):
            return self._of_items(name, dtype, session_index)
        batch = len(session_index)
        if name.endswith("_ids"):
            if len(shape) == 1:
                items = self._raw([batch])
                items[1::4] = self._unknown
                return items
            given = shape[1] == "C"  # candidates; other lists are rules
            listed = self._raw([batch, self._num_candidates if given else _LISTED])
            listed[:, -1] = self._module.spec.padding_id
            if given:
                listed[:, 0] = self._unknown
            # With an allow-list few items are left for other rules, so few rows have one.
            has_list = has_rules & (np.arange(batch) % 4 == 2) if shape[1] == "A" else has_rules
            return np.where(given | has_list[:, None], listed, self._module.spec.padding_id)
        if name == "k":
            return np.full([batch], self._k, dtype)
        if name == "request_times":
            return np.full([batch], _BEGIN + 100 * _DAY, dtype)
        if shape == ("B",):
            on = 0.5 if np.issubdtype(dtype, np.floating) else _RULES.get(name, 1)
            return np.where(has_rules, on, 0).astype(dtype)
        return self._random.random([batch, self._num_candidates]).astype(dtype)

    def _of_items(self, name: str, dtype: type, session_index: np.ndarray) -> np.ndarray:
        real = session_index >= 0
        place = np.broadcast_to(np.arange(real.shape[1]), real.shape)
        if name == "item_ids":
            items = self._raw(real.shape)
            items[:, 6::7] = self._unknown
            return np.where(real, items, self._module.spec.padding_id)
        if name == "timestamps":
            return np.where(real, _BEGIN + _DAY * session_index + _MINUTE * place, 0).astype(dtype)
        if name in self._module.categories:
            values: np.ndarray = np.array(self._module.categories[name], dtype)
            return np.where(real, values[place % len(values)], "" if dtype is object else -1)
        return np.where(real, place % 2 == 0, 0).astype(dtype)  # labels; numbers of a context

    def _raw(self, shape: Sequence[int]) -> np.ndarray:
        ranks = len(self._ids) ** self._random.random(shape)
        return self._ids[np.minimum(ranks.astype(np.int64), len(self._ids)) - 1]


def checked_batch_sizes(batch_sizes: Sequence[int]) -> list[int]:
    """The sizes in ascending order, none twice.

    Raises:
        ValueError: If one is not a positive integer.
    """
    sequence("warm_up_batch_sizes", batch_sizes, "numbers of rows")
    try:
        sizes = sorted({operator.index(size) for size in batch_sizes})
    except TypeError:
        sizes = [0]
    if sizes and sizes[0] <= 0:
        raise ValueError(
            "`warm_up_batch_sizes` should be positive integers. Received: "
            f"`warm_up_batch_sizes`={batch_sizes!r}"
        )
    return sizes
