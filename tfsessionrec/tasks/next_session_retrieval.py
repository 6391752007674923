"""Retrieval of the next session's items."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from numpy.typing import ArrayLike

from tfsessionrec.backend import keras
from tfsessionrec.checks import is_number, non_negative_integer
from tfsessionrec.checks import tensors as tensor_checks
from tfsessionrec.losses import SampledScores, catalogue_softmax_loss, sampled_loss
from tfsessionrec.losses.next_session import NextSession, Pairs, positive_pairs
from tfsessionrec.losses.retrieval import LossSum
from tfsessionrec.losses.sampled_loss import SAMPLED_LOSSES
from tfsessionrec.sampling import NegativeSampler
from tfsessionrec.sampling.negative_sampler import SAMPLERS
from tfsessionrec.scoring import Queries, as_queries
from tfsessionrec.types import Config

NEGATIVES = (*SAMPLERS, "full")


class Candidates(Protocol):
    """Embeds candidates, as `tfsessionrec.layers.ItemEmbedding` does."""

    vocabulary_size: int

    def candidates(self, item_ids: tf.Tensor) -> tf.Tensor:
        """[...] int to [..., D]."""

    def candidate_table(self) -> tf.Tensor:
        """[V, D], all candidates."""


@keras.utils.register_keras_serializable(package="tfsessionrec")
class NextSessionRetrieval(keras.layers.Layer, tfrs.tasks.Task):
    """Retrieval loss over candidates, with all positives of the next session as labels.

    For a position q with next-session positives P_q and negatives N_q

    `L = mean over (q, p in P_q) of -log( exp(s_p) / (exp(s_p) + sum_{n in N_q} exp(s_n)) )`

    with `s_c = <O_q, E_c> / temperature - log E[count_c]`; the correction applies to sampled
    negatives alone. The positives of a position are not in its denominator.

    `loss="gbce"` and `loss="bpr_max"` take `gbce_loss` and `bpr_max_loss` of each pair instead,
    with scores `<O_q, E_c> / temperature`. `log E[count_c]` corrects for items that are drawn more
    often than others: relative to the sampling rate in the scores of `"gbce"`, whose calibration
    knows the rate, and in the weights of `"bpr_max"`. With uniform negatives both are as
    published.

    Args:
        negatives: `"uniform"`, `"in_batch"` (the batch's positives), `"mixed"` (half and half),
            `"log_uniform"` (by rank; for a vocabulary that goes by falling count, as
            `data.Vocabulary` does), `"popularity"` (by `candidate_sampling_probability`) or
            `"full"` (all items, in blocks that bound the memory). Defaults to `"uniform"`.
        num_negatives: Negatives drawn a batch, shared by its positions. Not used by `"full"`.
            Defaults to 512.
        temperature: Divides the scores. Defaults to 1.
        candidate_sampling_probability: [V] share of each vocabulary index among the log's positive
            interactions (`vocabulary.counts` over their sum). `"popularity"` draws by it;
            `"in_batch"` and `"mixed"` correct by it, or by the shares within the batch, which
            correct less. Defaults to None.
        first_item_index: Lower indices (padding, out-of-vocabulary) are never negatives. Defaults
            to 2: padding and one out-of-vocabulary bucket.
        loss: `"softmax"`, `"gbce"` or `"bpr_max"`; only `"softmax"` takes `"full"` negatives.
            Defaults to `"softmax"`.
        calibration: t of `"gbce"`, from 0 (plain binary cross-entropy) to 1. Defaults to 0.75.
        score_regularization: lambda of `"bpr_max"`. Defaults to 1.
        popularity_power: Power of the shares that `"popularity"` draws by. Defaults to 1.
        metrics: TFRS factorized metrics, updated on each (position, positive). They are slow:
            prefer `tfsessionrec.evaluation`. They read plain queries without terms.

    Call arguments:
        queries: `tfsessionrec.scoring.Queries`, one for each position, row by row; or
            [B, S - 1, D] float tensor of plain ones.
        target: `tfsessionrec.losses.next_session.NextSession` of those positions. Its weights weigh
            the pairs: the loss is `sum of w L / sum of w`. Without `items`, as in
            `tfrs.tasks.Retrieval`: [B, D] embeddings of candidates, row b the positive of query b
            ([B, D]) and a negative of the others. The loss is the mean of theirs, which is a sum.
        items: Embeds candidates: an `ItemEmbedding`, or an object with its `candidates`,
            `candidate_table` and `vocabulary_size`. Defaults to None, see `target`.
        static_shapes: Keeps positions without a target, with weight 0, instead of dropping them,
            as XLA needs. Defaults to False.
        compute_metrics: Updates the metrics. Defaults to True.
        sample_weight: [B], without `items`: weights of the rows. Defaults to None: 1.
        candidate_sampling_probability: [B], without `items`: how often each candidate is in a
            batch, whose logarithm is taken off its scores. Defaults to None: no correction.
        candidate_ids: [B], without `items`: a candidate with the id of the positive is no
            negative. Defaults to None: it is one.

    Returns:
        Scalar float32: the mean, 0 without any positive.

    Raises:
        ValueError: If an argument is out of range, `loss` and `negatives` do not go together, or
            `metrics` get queries of several vectors, or an argument of the other call is given.

    Example:

    >>> import tfsessionrec as sr
    >>> from tfsessionrec.losses.next_session import next_session
    >>> items = sr.layers.ItemEmbedding(vocabulary_size=100, embedding_dim=8)
    >>> task = NextSessionRetrieval(negatives="full")
    >>> target = next_session(tf.constant([[[2, 3], [4, 5]]]))
    >>> task(tf.zeros([1, 1, 8]), target, items).shape
    TensorShape([])

    As `tfrs.tasks.Retrieval` is called, query and candidate by row:

    >>> round(float(NextSessionRetrieval()(tf.eye(2), tf.eye(2))), 4)
    0.3133

    References:
        SessionRec (arXiv 2502.10157, 2025). The paper does not give the number and distribution of
        the negatives, the correction and the temperature: this package's choice.
    """

    def __init__(
        self,
        negatives: str = "uniform",
        num_negatives: int = 512,
        temperature: float = 1.0,
        candidate_sampling_probability: ArrayLike | None = None,
        first_item_index: int = 2,
        loss: str = "softmax",
        calibration: float = 0.75,
        score_regularization: float = 1.0,
        popularity_power: float = 1.0,
        metrics: Sequence[tfrs.metrics.Factorized] | tfrs.metrics.Factorized | None = None,
        name: str | None = None,
    ) -> None:
        # Without autocast: the gates of queries' terms stay float32 in mixed precision.
        super().__init__(name=name, autocast=False)
        _check_loss(loss, negatives)
        if not (is_number(temperature) and 0 < temperature < math.inf):
            raise ValueError(
                f"`temperature` should be positive. Received: `temperature`={temperature!r}"
            )
        if not (is_number(calibration) and 0 <= calibration <= 1):
            raise ValueError(
                f"`calibration` should be from 0 to 1. Received: `calibration`={calibration!r}"
            )
        if not (is_number(score_regularization) and 0 <= score_regularization < math.inf):
            raise ValueError(
                "`score_regularization` should not be negative. Received: "
                f"`score_regularization`={score_regularization!r}"
            )
        self.negatives = negatives
        self.num_negatives = num_negatives
        self.temperature = temperature
        self.candidate_sampling_probability = (
            None
            if candidate_sampling_probability is None
            else np.asarray(candidate_sampling_probability, np.float32)
        )
        self.first_item_index = non_negative_integer("first_item_index", first_item_index)
        self.loss_name = loss
        self.calibration = calibration
        self.score_regularization = score_regularization
        self.popularity_power = popularity_power
        # Made for `"full"`, too: it checks the arguments.
        sampler = NegativeSampler(
            "uniform" if negatives == "full" else negatives,
            num_negatives,
            self.candidate_sampling_probability,
            first_item_index,
            popularity_power,
        )
        self.sampler = None if negatives == "full" else sampler
        metrics = [] if metrics is None else metrics
        self.factorized_metrics = list(metrics) if isinstance(metrics, Sequence) else [metrics]
        self.loss_mean = keras.metrics.Mean(name="retrieval_loss")

    def get_build_config(self) -> None:
        """None: a task has no weights, so its config does not depend on the shapes of a batch."""

    def call(
        self,
        queries: Queries | tf.Tensor,
        target: NextSession | tf.Tensor,
        items: Candidates | None = None,
        static_shapes: bool = False,
        compute_metrics: bool = True,
        *,
        sample_weight: tf.Tensor | None = None,
        candidate_sampling_probability: tf.Tensor | None = None,
        candidate_ids: tf.Tensor | None = None,
    ) -> tf.Tensor:
        of_rows = (sample_weight, candidate_sampling_probability, candidate_ids)
        if isinstance(target, NextSession) != (items is not None):
            raise ValueError(
                "`target` should be a `NextSession` with `items`, or embeddings [B, D] of "
                f"candidates without. Received: `target` of type {type(target).__name__}, "
                f"`items`={items!r}"
            )
        if items is None:
            loss = self._loss_of_rows(queries, target, *of_rows, compute_metrics)
        elif any(one is not None for one in of_rows):
            raise ValueError(
                "`sample_weight`, `candidate_sampling_probability` and `candidate_ids` should be "
                "None with a `NextSession`, which has weights and ids of its own"
            )
        else:
            loss = self.loss_sum(queries, target, items, static_shapes, compute_metrics)
        if compute_metrics:
            self.loss_mean.update_state(loss.mean, sample_weight=loss.count)
        return loss.global_mean

    def loss_sum(
        self,
        queries: Queries | tf.Tensor,
        target: NextSession,
        items: Candidates,
        static_shapes: bool = False,
        compute_metrics: bool = False,
    ) -> LossSum:
        """The loss before its reduction, as a `LossSum`."""
        queries = as_queries(queries).scaled(self.temperature)
        pairs, kept = positive_pairs(target, static_shapes)
        if not static_shapes:
            queries = queries.select(kept)
        if compute_metrics and self.factorized_metrics:
            self._update_metrics(queries, pairs, items)
        if self.sampler is None:
            first = self.first_item_index
            return catalogue_softmax_loss(
                queries,
                items.candidate_table()[first:],
                pairs.positives - first,
                candidate_ids=tf.range(first, items.vocabulary_size),
                weights=pairs.positive_weights,
            )
        sampled = self.sampler(pairs.item_ids, pairs.weights, items.vocabulary_size)
        negative_logits = queries.score(items.candidates(sampled.ids), sampled.ids)
        positive_logits = queries.gather(pairs.rows).score_pairs(
            items.candidates(pairs.item_ids), pairs.item_ids
        )
        scores = SampledScores(
            positive_logits,
            negative_logits,
            pairs.rows,
            pairs.weights,
            pairs.positives,
            sampled.ids,
            sampled.mask,
            sampled.log_expected_count,
            sampled.log_expected_count_of(pairs.item_ids),
        )
        return sampled_loss(
            self.loss_name,
            scores,
            items.vocabulary_size - self.first_item_index,
            self.negatives == "uniform",
            self.calibration,
            self.score_regularization,
        )

    def _loss_of_rows(
        self,
        queries: tf.Tensor,
        candidates: tf.Tensor,
        weights: tf.Tensor | None,
        probability: tf.Tensor | None,
        ids: tf.Tensor | None,
        compute_metrics: bool,
    ) -> LossSum:
        """The loss of queries [B, D] over candidates [B, D], of which row b is query b's."""
        queries, candidates = tf.convert_to_tensor(queries), tf.convert_to_tensor(candidates)
        given = {"sample_weight": weights, "candidate_sampling_probability": probability}
        tensor_checks(
            ("queries", queries, "number", "B D"),
            ("target", candidates, "number", "B D"),
            *((name, value, "number", "B") for name, value in given.items() if value is not None),
        )
        if compute_metrics:
            for metric in self.factorized_metrics:
                metric.update_state(queries, candidates, sample_weight=weights)
        logits = tf.matmul(queries, candidates, transpose_b=True)
        logits = tf.cast(logits, tf.float32) / self.temperature
        if probability is not None:
            logits -= tf.math.log(tf.maximum(tf.cast(probability, tf.float32), 1e-12))
        own = tf.linalg.diag_part(logits)
        if ids is not None:
            ids = tf.reshape(ids, [-1])
            others = ~tf.eye(tf.shape(logits)[0], dtype=tf.bool)
            same = tf.equal(ids[:, tf.newaxis], ids)
            logits = tf.where(same & others, logits.dtype.min, logits)
        loss = tf.reduce_logsumexp(logits, axis=1) - own
        weights = tf.ones_like(loss) if weights is None else tf.cast(weights, tf.float32)
        return LossSum(tf.reduce_sum(weights * loss), tf.reduce_sum(weights))

    def _update_metrics(self, queries: Queries, pairs: Pairs, items: Candidates) -> None:
        if queries.num_interests > 1:
            raise ValueError(
                "`metrics` should be None for queries of several vectors: TFRS's factorized "
                "metrics take [queries, dim] only. Received: queries of shape "
                f"{tuple(queries.embeddings.shape)}; see `tfsessionrec.evaluation`"
            )
        embeddings = tf.gather(queries.embeddings[:, 0], pairs.rows)
        for metric in self.factorized_metrics:
            metric.update_state(
                embeddings, items.candidates(pairs.item_ids), sample_weight=pairs.weights
            )

    def get_config(self) -> Config:
        probability = self.candidate_sampling_probability
        return {
            "negatives": self.negatives,
            "num_negatives": self.num_negatives,
            "temperature": self.temperature,
            "candidate_sampling_probability": None if probability is None else probability.tolist(),
            "first_item_index": self.first_item_index,
            "loss": self.loss_name,
            "calibration": self.calibration,
            "score_regularization": self.score_regularization,
            "popularity_power": self.popularity_power,
            "name": self.name,
        }


def _check_loss(loss: str, negatives: str) -> None:
    _one_of("negatives", negatives, NEGATIVES)
    _one_of("loss", loss, SAMPLED_LOSSES)
    if loss != "softmax" and negatives == "full":
        raise ValueError(
            "`loss` should be softmax where `negatives` is full: the others are losses over a "
            f"sample. Received: `loss`={loss!r}"
        )


def _one_of(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(
            f"`{name}` should be one of {', '.join(choices)}. Received: `{name}`={value!r}"
        )
