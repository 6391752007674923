"""Candidates that the user knows: a term from how often and how lately each was taken."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import is_number, non_negative_integer, positive_integer, sequence
from tfsessionrec.layers.terms.habit_counts import habit_counts
from tfsessionrec.layers.terms.habit_term import HabitTerm
from tfsessionrec.types import Config

ARGUMENTS = ("vocabulary_size", "session_half_lives", "half_lives", "first_item_index")


@keras.utils.register_keras_serializable(package="tfsessionrec")
class HabitFeatures(keras.layers.Layer):
    """Adds a term to the scores of the candidates that are in the user's own history.

    A candidate c that was taken in n of the T sessions of the history has the features f in R^F

    - 1, `log(1 + n)` and `n / T`;
    - for each of `session_half_lives` the share of sessions with c, sessions weighed by their age
      in sessions, `sum over s with c of 2^(-age(s) / h) / sum over s of 2^(-age(s) / h)`; the same
      for each of `half_lives`, by their age in seconds;
    - how due it is: `min(since / gap, gap / since)`, with `since` the sessions since c was taken
      last and `gap` the mean of those between two; 0 if it was taken once;
    - r_c and `r_c n / T`, r_c being the share of those who take c that take it again, see
      `set_repeat_rates`.

    With the query embedding O the term is

    `term(c) = (b + W O) . f(c)`,

    and 0 for every candidate that is not in the history. b and W start from zero: the layer starts
    neutral. Only the history up to the query counts, so that nothing of the future leaks. Items
    that were shown but not clicked do not count.

    Args:
        vocabulary_size: Rows of the vocabulary.
        session_half_lives: Numbers of sessions. Defaults to 1, 4, 16.
        half_lives: Seconds. Defaults to none; with some, batches need `session_times`.
        first_item_index: Lower indices are no items. Defaults to 2.

    Call arguments:
        query_embeddings: [B T, D] float tensor, or [B T, N, D] of N vectors a query, whose mean
            counts.
        item_ids: [B, S, I] integer tensor, 0 is padding.
        ends: [B, T] integer tensor, the number of the last session of each history; below 0 counts
            as 0.
        candidate_ids: [B T, C] integer tensor, the candidates of each query; or [C], candidates
            that all queries share.
        labels: [B, S, I] tensor, above 0 where positive. Defaults to None: all are.
        session_times: [B, S] integer tensor, unix seconds. Read with `half_lives` only.
        static_shapes: Uses operations of fixed shapes only, as XLA needs. Defaults to False.

    Returns:
        [B T, C] float32 tensor of terms.

    Raises:
        ValueError: If an argument is out of its range, or `session_times` is missing.

    Example:

    >>> layer = HabitFeatures(vocabulary_size=5, session_half_lives=[1])
    >>> ids = tf.constant([[[2, 3], [2, 0]]])
    >>> ids_of_row, features = layer.features(ids, tf.constant([[1]]))
    >>> ids_of_row.numpy()
    array([[2, 3]], dtype=int32)
    >>> features.numpy()[0, :4].round(3)  # 3: in one of two, the older one: (1/2) / (1/2 + 1)
    array([[1.   , 1.   ],
           [1.099, 0.693],
           [1.   , 0.5  ],
           [1.   , 0.333]], dtype=float32)

    References:
        Personal frequency and recency: Hu et al., "Modeling Personalized Item Frequency
        Information for Next-basket Recommendation" (SIGIR 2020, TIFU-KNN); within a neural model:
        SAFERec (arXiv 2412.14302, 2024). Their form as a gated term of the score is this package's
        choice.
    """

    def __init__(
        self,
        vocabulary_size: int,
        session_half_lives: Sequence[float] = (1.0, 4.0, 16.0),
        half_lives: Sequence[float] = (),
        first_item_index: int = 2,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = positive_integer("vocabulary_size", vocabulary_size)
        self.session_half_lives = _positive("session_half_lives", session_half_lives, "sessions")
        self.half_lives = _positive("half_lives", half_lives, "seconds")
        self.first_item_index = non_negative_integer("first_item_index", first_item_index)

    @property
    def num_features(self) -> int:
        """F."""
        return 6 + len(self.session_half_lives) + len(self.half_lives)

    def build(self, input_shape: tf.TensorShape) -> None:
        self.gate = keras.layers.Dense(
            self.num_features, kernel_initializer="zeros", name="gate", dtype="float32"
        )
        build_sublayer(self.gate, (None, int(input_shape[-1])))
        self.repeat_rates = self.add_weight(
            name="repeat_rates",
            shape=(self.vocabulary_size,),
            dtype="float32",
            initializer="zeros",
            trainable=False,
        )
        self.built = True

    def set_repeat_rates(self, rates: ArrayLike) -> None:
        """Sets r_c of all items, which is 0 until then; the layer must be built.

        Args:
            rates: [vocabulary_size] numbers from 0 to 1: `data.repeat_rates`.

        Raises:
            ValueError: If their shape or range is another.
        """
        values = np.asarray(rates, np.float32)
        if values.shape != (self.vocabulary_size,) or not ((values >= 0) & (values <= 1)).all():
            raise ValueError(
                f"`rates` should be {self.vocabulary_size} numbers from 0 to 1. Received: shape "
                f"{values.shape}, {values.min(initial=1)} to {values.max(initial=0)}"
            )
        self.repeat_rates.assign(values)

    def features(
        self,
        item_ids: tf.Tensor,
        ends: tf.Tensor,
        labels: tf.Tensor | None = None,
        session_times: tf.Tensor | None = None,
        static_shapes: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The distinct items of each row [B, U], ascending, and their features [B T, F, U].

        Features are 0 where the item is not in the history.
        """
        if self.half_lives and session_times is None:
            raise ValueError("`session_times` should be given with `half_lives`. Received: None")
        item_ids = tf.convert_to_tensor(item_ids)
        taken = item_ids != 0
        if labels is not None:
            taken &= tf.cast(labels, tf.float32) > 0
        counts = habit_counts(
            item_ids,
            taken,
            tf.maximum(tf.cast(ends, tf.int32), 0),
            self.first_item_index,
            self.session_half_lives,
            self.half_lives,
            session_times,
            static_shapes,
        )
        held = tf.cast(counts.taken > 0, tf.float32)
        rates = tf.zeros_like(held)
        if self.built:
            known = tf.minimum(counts.item_ids, self.vocabulary_size - 1)
            rates = tf.gather(tf.convert_to_tensor(self.repeat_rates), known)
            rates = held * tf.repeat(rates, tf.shape(ends)[1], axis=0)
        parts = [held, tf.math.log1p(counts.taken), counts.shares, counts.due, rates]
        parts.append(rates * counts.shares[:, 0])
        parts = [part if len(part.shape) == 3 else part[:, tf.newaxis] for part in parts]
        return counts.item_ids, tf.stop_gradient(tf.concat(parts, axis=1))

    def term(
        self,
        query_embeddings: tf.Tensor,
        item_ids: tf.Tensor,
        ends: tf.Tensor,
        labels: tf.Tensor | None = None,
        session_times: tf.Tensor | None = None,
        static_shapes: bool = False,
    ) -> HabitTerm:
        """The term of all candidates, which holds those of the history."""
        queries = tf.cast(query_embeddings, tf.float32)
        if len(queries.shape) == 3:
            queries = tf.reduce_mean(queries, axis=1)
        if not self.built:
            build_sublayer(self, queries.shape)
        ids, features = self.features(item_ids, ends, labels, session_times, static_shapes)
        gates = self.gate(queries)[:, tf.newaxis]
        terms = tf.squeeze(tf.matmul(gates, features), axis=1)
        numbers = tf.range(tf.size(ends))
        return HabitTerm(ids, numbers // tf.shape(ends)[1], terms, numbers, static_shapes)

    def call(
        self,
        query_embeddings: tf.Tensor,
        item_ids: tf.Tensor,
        ends: tf.Tensor,
        candidate_ids: tf.Tensor,
        labels: tf.Tensor | None = None,
        session_times: tf.Tensor | None = None,
        static_shapes: bool = False,
    ) -> tf.Tensor:
        term = self.term(query_embeddings, item_ids, ends, labels, session_times, static_shapes)
        return term(candidate_ids)

    def get_config(self) -> Config:
        return super().get_config() | {name: getattr(self, name) for name in ARGUMENTS}


def _positive(name: str, values: Sequence[float], unit: str) -> tuple[float, ...]:
    sequence(name, values, unit)
    if not all(is_number(value) and 0 < value < math.inf for value in values):
        raise ValueError(
            f"`{name}` should be positive numbers of {unit}. Received: `{name}`={values!r}"
        )
    return tuple(float(value) for value in values)
