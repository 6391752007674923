"""From a raw request to the session batch that a model reads."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from tfsessionrec.checks import YEAR_10000
from tfsessionrec.export.contract import CANDIDATE, INPUTS
from tfsessionrec.history_spec import Category, HistorySpec
from tfsessionrec.session_batch import item_mask, request_batch, session_mask

if TYPE_CHECKING:
    from tfsessionrec.data import Vocabulary

UNKNOWN_INDEX = 1  # the first out-of-vocabulary bucket

Tensors = Mapping[str, tf.Tensor]


def vocabulary_lines(vocabulary: "Vocabulary") -> bytes:
    """The raw ids, one a line, as `IdTables` reads them.

    Raises:
        ValueError: If an id cannot be a line.
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


class IdTables(tf.Module):
    """Raw ids and rows of the candidates, from a file that becomes an asset.

    Args:
        vocabulary: The items; row 0 is the first of them.
        vocabulary_file: Their `vocabulary_lines`.
        padding_id: Raw id of padding, and of a row that does not exist.
    """

    def __init__(
        self,
        vocabulary: "Vocabulary",
        vocabulary_file: str | os.PathLike[str],
        padding_id: Category,
    ) -> None:
        super().__init__(name="id_tables")
        self.dtype = tf.as_dtype(vocabulary.dtype)
        self.num_items = vocabulary.num_items
        self.padding_id = padding_id
        line, whole = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
        file, size = os.fspath(vocabulary_file), self.num_items
        self._row_of_id = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(file, self.dtype, whole, tf.int64, line, vocab_size=size),
            default_value=-1,
        )
        self._id_of_row = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(file, tf.int64, line, self.dtype, whole, vocab_size=size),
            default_value=padding_id,
        )

    @property
    def tables(self) -> tuple[tf.lookup.StaticHashTable, ...]:
        """The tables, which an export has to track."""
        return self._row_of_id, self._id_of_row

    @property
    def padding(self) -> tf.Tensor:
        """The padding id as a scalar."""
        return tf.constant(self.padding_id, self.dtype)

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Rows of raw ids: int32, -1 for unknown ids and padding."""
        return tf.cast(self._row_of_id.lookup(ids), tf.int32)

    def raw(self, rows: tf.Tensor) -> tf.Tensor:
        """Raw ids of rows."""
        return self._id_of_row.lookup(tf.cast(rows, tf.int64))


class ShownBatch(NamedTuple):
    """A history with the candidates as one more session.

    Attributes:
        batch: The session batch.
        slot: int32 [B], at which session the candidates are.
        shown: bool [B, C], False at padding.
        known: bool [B, C], False for unknown candidates and padding.
    """

    batch: dict[str, tf.Tensor]
    slot: tf.Tensor
    shown: tf.Tensor
    known: tf.Tensor


class RequestReader(tf.Module):
    """Lays out raw requests as the session batch of a specification.

    It turns raw ids and categories into their numbers and checks shapes; `request_batch` cuts
    sessions, as for training.

    Args:
        spec: What the model reads.
        ids: The tables of ids.

    Raises:
        ValueError: If categories are of mixed types, or a context feature has the name of another
            input.
    """

    def __init__(self, spec: HistorySpec, ids: IdTables) -> None:
        super().__init__(name="request")
        self.spec = spec
        self.ids = ids
        self.max_items = 1 if spec.session == "item" else spec.max_items
        self._category_index: dict[str, tf.lookup.StaticHashTable] = {}
        # What a request brings for each item of a history.
        self.item_inputs: dict[str, tf.DType] = {"labels": tf.float32} if spec.labels else {}
        if spec.interaction_types:
            self._add_categories("interaction_types", spec.interaction_types)
        for name, values in spec.session_context.items():
            if name in (*INPUTS, "session_times", "item_times"):
                raise ValueError(
                    "`session_context` should not use the name of another input. Received: "
                    f"`session_context` with {name!r}"
                )
            if values is None:
                self.item_inputs[name] = tf.float32
            else:
                self._add_categories(name, values)
        if spec.reads_times:
            self.item_inputs["timestamps"] = tf.int64
        # What a request to `rank` brings in addition.
        self.rank_inputs: dict[str, tf.DType] = {}
        if spec.relation is not None:
            per_item = {"labels": tf.float32, "timestamps": tf.int64, "position": tf.int32}
            self.rank_inputs = {
                **{name: dtype for name, dtype in per_item.items() if name not in self.item_inputs},
                "request_times": tf.int64,
                **{f"{CANDIDATE}{name}": tf.float32 for name in spec.relation},
            }

    @property
    def categories(self) -> dict[str, tuple[Category, ...]]:
        """The categories of each input that has some."""
        inputs = {"interaction_types": self.spec.interaction_types, **self.spec.session_context}
        return {name: values for name, values in inputs.items() if values}

    @property
    def tables(self) -> tuple[tf.lookup.StaticHashTable, ...]:
        """All tables, which an export has to track."""
        return *self.ids.tables, *self._category_index.values()

    def batch(
        self, item_ids: tf.Tensor, session_index: tf.Tensor, item_inputs: Tensors
    ) -> dict[str, tf.Tensor]:
        """The session batch of some histories.

        Args:
            item_ids: [B, N] raw ids.
            session_index: int32 [B, N].
            item_inputs: Raw values [B, N] of `self.item_inputs`, or more of those of `rank`.
        """
        spec = self.spec
        # Operations that read them wait for the check, so that none of them fails first.
        times = {n: value for n, value in item_inputs.items() if n == "timestamps"}
        checks = [
            *_same_shapes("item_ids", item_ids, {"session_index": session_index, **item_inputs}),
            *check_seconds(**times),
        ]
        with tf.control_dependencies(checks):
            session_index = tf.identity(session_index)
            values = {
                name: self._category_index[name].lookup(value)
                if name in self._category_index
                else tf.identity(value)
                for name, value in item_inputs.items()
            }
        names = ("interaction_types", "match_ids", "position")
        of_items = {name: values[name] for name in names if name in values}
        of_sessions = {name: values[name] for name in spec.session_context}
        if "timestamps" in values:
            if spec.session_times or spec.relation is not None:
                of_sessions["session_times"] = values["timestamps"]
            if spec.item_times:
                of_items["item_times"] = values["timestamps"]
        labels = values.get("labels")
        indices = self._indices(item_ids)
        laid_out: dict[str, tf.Tensor] = dict(
            request_batch(spec, indices, session_index, labels, of_items, of_sessions)
        )
        # Graph optimization fuses operations of the encoder whose inputs share one shape.
        shape = tf.unstack(tf.shape(laid_out["item_ids"]), num=3)
        batch = {n: tf.reshape(v, shape[: v.shape.rank]) for n, v in laid_out.items()}
        if spec.request_times:
            # A server reads the trend from a file: the time of the request does not matter.
            batch["request_times"] = tf.zeros(tf.shape(batch["item_ids"])[:2], tf.int64)
        return batch

    def longest(self) -> dict[str, tf.Tensor]:
        """The session batch of one history as long as any."""
        spec = self.spec
        shape = [1, spec.max_sessions, self.max_items]
        batch = {"item_ids": tf.fill(shape, spec.first_item_index)}
        if spec.labels and spec.session == "real":
            batch["labels"] = tf.ones(shape)
        if spec.interaction_types:
            batch["interaction_types"] = tf.ones(shape, tf.int32)
        for name, values in spec.session_context.items():
            batch[name] = tf.ones(shape[:2], tf.float32 if values is None else tf.int32)
        if spec.session_times:
            batch["session_times"] = tf.zeros(shape[:2], tf.int64)
        if spec.item_times:
            batch["item_times"] = tf.zeros(shape, tf.int64)
        if spec.request_times:
            batch["request_times"] = tf.zeros(shape[:2], tf.int64)
        return batch

    def shown(
        self,
        item_ids: tf.Tensor,
        session_index: tf.Tensor,
        candidate_ids: tf.Tensor,
        inputs: Tensors,
    ) -> tuple[dict[str, tf.Tensor], ShownBatch]:
        """The session batches of some histories, and of them with the candidates as next session.

        Args:
            item_ids: [B, N] raw ids.
            session_index: int32 [B, N].
            candidate_ids: [B, C] raw ids.
            inputs: Raw values of `self.item_inputs` and `self.rank_inputs`.
        """
        columns = {n.removeprefix(CANDIDATE): v for n, v in inputs.items() if n[:10] == CANDIDATE}
        request_times = inputs["request_times"]
        given = {n: v for n, v in inputs.items() if n[:10] != CANDIDATE and n != "request_times"}
        aligned = {CANDIDATE + name: values for name, values in columns.items()}
        checks = [
            *check_rows(item_ids, candidate_ids=candidate_ids, request_times=request_times),
            *check_seconds(request_times=request_times),
            *_same_shapes("candidate_ids", candidate_ids, aligned),
        ]
        with tf.control_dependencies(checks):
            item_ids, candidate_ids = tf.identity(item_ids), tf.identity(candidate_ids)
        # Distinct unknown items are distinct, too: a number for each distinct id of the batch.
        raw = tf.concat([item_ids, candidate_ids], axis=1)
        numbers = tf.reshape(tf.unique(tf.reshape(raw, [-1]), tf.int64).idx + 1, tf.shape(raw))
        length = tf.shape(item_ids)[1]
        history = self.batch(item_ids, session_index, {**given, "match_ids": numbers[:, :length]})
        shown = candidate_ids != self.ids.padding
        rows = self.ids.rows(candidate_ids)
        indices = tf.where(rows >= 0, rows + self.spec.first_item_index, UNKNOWN_INDEX)
        session = {
            "item_ids": tf.where(shown, indices, 0),
            "match_ids": tf.where(shown, numbers[:, length:], 0),
            "position": tf.where(shown, tf.range(1, tf.shape(candidate_ids)[1] + 1), 0),
            "session_times": request_times,
            **columns,
        }
        before = history | {name: tf.zeros_like(history["labels"]) for name in columns}
        is_session = session_mask(item_mask(history["item_ids"]))
        slot = tf.reduce_sum(tf.cast(is_session, tf.int32), axis=1)
        unknown = {2: tf.zeros_like(slot), 3: tf.zeros_like(session["item_ids"])}
        batch = {
            name: _append(values, slot, session.get(name, unknown[values.shape.rank]))
            for name, values in before.items()
        }
        return history, ShownBatch(batch, slot, shown, rows >= 0)

    def _indices(self, item_ids: tf.Tensor) -> tf.Tensor:
        """Vocabulary indices: int32 [B, N]."""
        rows = self.ids.rows(item_ids)
        indices = tf.where(rows >= 0, rows + self.spec.first_item_index, UNKNOWN_INDEX)
        if self.ids.dtype == tf.string:
            indices = tf.where(item_ids == "", tf.zeros_like(indices), indices)
        return indices

    def _add_categories(self, name: str, values: Sequence[Category]) -> None:
        """An input of raw categories, and the table that numbers them from 1."""
        kinds = {str if isinstance(value, str) else int for value in values}
        if len(kinds) != 1:
            raise ValueError(
                f"`{name}` should be distinct categories, all strings or all integers. Received: "
                f"`{name}`={values!r}"
            )
        dtype = tf.string if kinds == {str} else tf.int64
        numbers = tf.range(1, len(values) + 1)
        table = tf.lookup.KeyValueTensorInitializer(tf.constant(values, dtype), numbers)
        self._category_index[name] = tf.lookup.StaticHashTable(table, default_value=0)
        self.item_inputs[name] = dtype


def check_rows(item_ids: tf.Tensor, **inputs: tf.Tensor) -> list[tf.Operation]:
    """Checks in the graph that every input has the rows of `item_ids`.

    What computes with the inputs should depend on them: else its own error may come first.
    """
    checks = []
    for name, value in inputs.items():
        what = "one number a row of" if value.shape.rank == 1 else "as many rows as"
        checks.append(
            tf.debugging.assert_equal(
                tf.shape(value)[0],
                tf.shape(item_ids)[0],
                f"`{name}` should have {what} `item_ids`.",
            )
        )
    return [check for check in checks if check is not None]


def check_seconds(**inputs: tf.Tensor) -> list[tf.Operation]:
    """Checks in the graph that times are before the year 10000, which milliseconds are not."""
    checks = [
        tf.debugging.assert_less(
            value,
            tf.constant(YEAR_10000, tf.int64),
            f"`{name}` should be unix seconds, before the year 10000. Received a later time: "
            "milliseconds?",
        )
        for name, value in inputs.items()
    ]
    return [check for check in checks if check is not None]


def _same_shapes(name: str, values: tf.Tensor, others: Tensors) -> list[tf.Operation]:
    checks = [
        tf.debugging.assert_equal(
            tf.shape(value), tf.shape(values), f"`{other}` should have the shape of `{name}`."
        )
        for other, value in others.items()
    ]
    return [check for check in checks if check is not None]


def _append(values: tf.Tensor, slot: tf.Tensor, session: tf.Tensor) -> tf.Tensor:
    """Puts a session [B, C] (or [B]) at `slot` [B] of values [B, S, I] (or [B, S])."""
    here = tf.equal(tf.range(tf.shape(values)[1] + 1), slot[:, tf.newaxis])
    if values.shape.rank == 2:
        values = tf.pad(values, [[0, 0], [0, 1]])
        return tf.where(here, tf.cast(session, values.dtype)[:, tf.newaxis], values)
    width, new = tf.shape(values)[2], tf.shape(session)[1]
    values = tf.pad(values, [[0, 0], [0, 1], [0, tf.maximum(new - width, 0)]])
    session = tf.pad(tf.cast(session, values.dtype), [[0, 0], [0, tf.maximum(width - new, 0)]])
    return tf.where(here[..., tf.newaxis], session[:, tf.newaxis], values)
