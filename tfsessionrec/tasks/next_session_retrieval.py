"""Retrieval of the next session's items."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfsessionrec.backend import keras
from tfsessionrec.layers.candidate_terms import CandidateTerms
from tfsessionrec.losses import (
    bpr_max_loss,
    catalogue_softmax_loss,
    gbce_loss,
    sampled_log_sum_exp,
    set_softmax_loss,
    visible_negatives,
)
from tfsessionrec.losses.next_session import NextSession
from tfsessionrec.losses.retrieval import LossSum
from tfsessionrec.sampling import (
    SampledCandidates,
    in_batch_candidates,
    log_uniform_candidates,
    mixed_candidates,
    popularity_candidates,
    popularity_table,
    uniform_candidates,
)
from tfsessionrec.scoring import score, score_pairs
from tfsessionrec.tasks.reduction import global_mean
from tfsessionrec.types import Config

NEGATIVES = ("uniform", "in_batch", "mixed", "log_uniform", "popularity", "full")
LOSSES = ("softmax", "gbce", "bpr_max")


class Candidates(Protocol):
    """What embeds candidates, as `tfsessionrec.layers.ItemEmbedding` does."""

    vocabulary_size: int

    def candidates(self, item_ids: tf.Tensor) -> tf.Tensor:
        """[...] int to [..., D]."""

    def candidate_table(self) -> tf.Tensor:
        """[V, D], all of them."""


@keras.utils.register_keras_serializable(package="tfsessionrec")
class NextSessionRetrieval(tfrs.tasks.Retrieval):
    """Retrieval loss over candidates, with all positives of the next session as labels.

    For a position q with next-session positives P_q and negatives N_q

    `L = mean over (q, p in P_q) of -log( exp(s_p) / (exp(s_p) + sum_{n in N_q} exp(s_n)) )`

    with `s_c = <O_q, E_c> / temperature - log E[count_c]`; the correction is there for sampled
    negatives alone. The positives of a position are in nobody's denominator at that position.

    `loss="gbce"` and `loss="bpr_max"` take `gbce_loss` and `bpr_max_loss` of each pair instead,
    with scores `<O_q, E_c> / temperature`. What is drawn more often than other items is corrected
    for by `log E[count_c]`: relative to the sampling rate in the scores of `"gbce"`, whose
    calibration knows the rate, and in the weights of `"bpr_max"`. With uniform negatives both are
    as published.

    Args:
        negatives: `"uniform"`, `"in_batch"` (the batch's positives), `"mixed"` (half and half),
            `"log_uniform"` (by rank; for a vocabulary that goes by falling count, as
            `data.Vocabulary` does), `"popularity"` (by `candidate_sampling_probability`) or
            `"full"` (all items, in blocks that bound the memory). Defaults to `"uniform"`.
        num_negatives: Negatives drawn a batch, shared by its positions. Not used by `"full"`.
            Defaults to 512.
        temperature: Divides the scores. Defaults to 1.
        candidate_sampling_probability: [V] share of each vocabulary index among the log's positive
            interactions (`vocabulary.counts` over their sum). Needed by `"popularity"`, to draw
            from; for the correction of `"in_batch"` and `"mixed"`, whose default are the shares
            within the batch, which correct less.
        first_item_index: Lower indices (padding, out-of-vocabulary) are never negatives. Defaults
            to 2: padding and one out-of-vocabulary bucket.
        loss: `"softmax"`, `"gbce"` or `"bpr_max"`; only `"softmax"` takes `"full"` negatives.
            Defaults to `"softmax"`.
        calibration: t of `"gbce"`, from 0 (plain binary cross-entropy) to 1. Defaults to 0.75.
        score_regularization: lambda of `"bpr_max"`. Defaults to 1.
        popularity_power: Power of the shares that `"popularity"` draws by. Defaults to 1.
        metrics: TFRS factorised metrics, updated on each (position, positive). Slow: rather use
            `tfsessionrec.evaluation`. Not for interests, which they do not take.

    Call arguments:
        query_embeddings: [B, S - 1, D] float tensor, what each position says of the session after;
            or [B, S - 1, N, D] of its interests, of which the best one scores a candidate.
        target: `tfsessionrec.losses.next_session.NextSession` of those positions.
        items: What embeds candidates: an `ItemEmbedding`, or an object with its `candidates`,
            `candidate_table` and `vocabulary_size`.
        terms: Terms of the candidates' scores at each position's request, as `TrendFeatures` makes
            them: of B (S - 1) requests, by row. Defaults to none.
        static_shapes: Keeps positions without a target, with weight 0, instead of dropping them.
            Needed under XLA, which wants fixed shapes.

    Returns:
        Scalar float32: the mean, 0 without any positive.

    Raises:
        ValueError: If an argument is out of range, or `loss` and `negatives`, or interests and
            `metrics` do not go together.

    Example:

    >>> import tfsessionrec as sr
    >>> from tfsessionrec.losses.next_session import next_session
    >>> items = sr.layers.ItemEmbedding(vocabulary_size=100, embedding_dim=8)
    >>> task = NextSessionRetrieval(negatives="full")
    >>> target = next_session(tf.constant([[[2, 3], [4, 5]]]))
    >>> task(tf.zeros([1, 1, 8]), target, items).shape
    TensorShape([])

    References:
        SessionRec (arXiv 2502.10157, 2025). Number and distribution of the negatives, correction
        and temperature are not known from the paper: this package's choice.
    """

    def __init__(
        self,
        negatives: str = "uniform",
        num_negatives: int = 512,
        temperature: float = 1.0,
        candidate_sampling_probability: Any = None,
        first_item_index: int = 2,
        loss: str = "softmax",
        calibration: float = 0.75,
        score_regularization: float = 1.0,
        popularity_power: float = 1.0,
        metrics: Sequence[Any] | None = None,
        name: str | None = None,
    ) -> None:
        if negatives not in NEGATIVES:
            raise ValueError(
                f"`negatives` should be one of {', '.join(NEGATIVES)}. Received: "
                f"`negatives`={negatives!r}"
            )
        if not isinstance(num_negatives, int) or num_negatives < 1:
            raise ValueError(
                "`num_negatives` should be a positive integer. Received: "
                f"`num_negatives`={num_negatives!r}"
            )
        if not temperature > 0:
            raise ValueError(
                f"`temperature` should be positive. Received: `temperature`={temperature!r}"
            )
        if loss not in LOSSES:
            raise ValueError(
                f"`loss` should be one of {', '.join(LOSSES)}. Received: `loss`={loss!r}"
            )
        if loss != "softmax" and negatives == "full":
            raise ValueError(
                "`loss` should be softmax where `negatives` is full: the others are losses over a "
                f"sample. Received: `loss`={loss!r}"
            )
        if not 0 <= calibration <= 1:
            raise ValueError(
                f"`calibration` should be from 0 to 1. Received: `calibration`={calibration!r}"
            )
        if not score_regularization >= 0:
            raise ValueError(
                "`score_regularization` should not be negative. Received: "
                f"`score_regularization`={score_regularization!r}"
            )
        if not popularity_power >= 0:
            raise ValueError(
                "`popularity_power` should not be negative. Received: "
                f"`popularity_power`={popularity_power!r}"
            )
        if negatives == "popularity" and candidate_sampling_probability is None:
            raise ValueError(
                "`candidate_sampling_probability` should be given where `negatives` is "
                "popularity: negatives are drawn by it. Received: None"
            )
        super().__init__(metrics=metrics, temperature=temperature, name=name)
        self.negatives = negatives
        self.num_negatives = num_negatives
        self.temperature = temperature
        self.first_item_index = first_item_index
        self.loss_name = loss
        self.calibration = calibration
        self.score_regularization = score_regularization
        self.popularity_power = popularity_power
        self.candidate_sampling_probability = None
        if candidate_sampling_probability is not None:
            values = np.asarray(candidate_sampling_probability, np.float32)
            if values.ndim != 1 or not np.all(np.isfinite(values)) or values.min() < 0:
                raise ValueError(
                    "`candidate_sampling_probability` should be a vector of finite shares, one a "
                    f"vocabulary index. Received: shape {values.shape}"
                )
            self.candidate_sampling_probability = values
        if negatives == "popularity":
            self._popularity = popularity_table(values, first_item_index, popularity_power)
        self.loss_mean = keras.metrics.Mean(name="retrieval_loss")

    def call(
        self,
        query_embeddings: tf.Tensor,
        target: NextSession,
        items: Candidates,
        static_shapes: bool = False,
        compute_metrics: bool = True,
        terms: CandidateTerms | None = None,
    ) -> tf.Tensor:
        loss = self.loss_sum(query_embeddings, target, items, static_shapes, compute_metrics, terms)
        mean = global_mean(loss)
        if compute_metrics:
            self.loss_mean.update_state(loss.mean, sample_weight=loss.count)
        return mean

    def loss_sum(
        self,
        query_embeddings: tf.Tensor,
        target: NextSession,
        items: Candidates,
        static_shapes: bool = False,
        compute_metrics: bool = False,
        terms: CandidateTerms | None = None,
    ) -> LossSum:
        """The loss before its reduction, as a `LossSum`."""
        interests, width = query_embeddings.shape.rank == 4, tf.shape(target.item_ids)[-1]
        queries = tf.reshape(query_embeddings, [-1, *query_embeddings.shape[2:]])
        queries = tf.cast(queries, tf.float32) / self.temperature
        ids = tf.reshape(target.item_ids, [-1, width])
        positive = tf.reshape(target.positive, [-1, width])
        if not static_shapes:
            # Scores are made where there is a target, and nowhere else.
            has_target = tf.reduce_any(positive, axis=-1)
            queries = tf.boolean_mask(queries, has_target)
            ids = tf.boolean_mask(ids, has_target)
            positive = tf.boolean_mask(positive, has_target)
            if terms is not None:
                terms = terms.select(has_target)
        if terms is not None:
            terms = terms._replace(gates=terms.gates / self.temperature)
        ids = tf.where(positive, ids, -1)

        # (position, positive) pairs, by position
        pair_rows = tf.repeat(tf.range(tf.shape(ids)[0]), width)
        pair_ids, weights = tf.reshape(ids, [-1]), tf.reshape(positive, [-1])
        if not static_shapes:
            pair_rows = tf.boolean_mask(pair_rows, weights)
            pair_ids = tf.boolean_mask(pair_ids, weights)
            weights = tf.boolean_mask(weights, weights)
        pair_ids = tf.maximum(pair_ids, 0)
        if compute_metrics:
            if interests and self.factorized_metrics:
                raise ValueError(
                    "`metrics` should be None for queries of several interests: TFRS's factorised "
                    "metrics take [queries, dim] only. Received: `query_embeddings` with shape "
                    f"{tuple(query_embeddings.shape)}; see `tfsessionrec.evaluation`"
                )
            for metric in self.factorized_metrics:
                metric.update_state(
                    tf.gather(queries, pair_rows), items.candidates(pair_ids), sample_weight=weights
                )
        if self.negatives == "full":
            first = self.first_item_index
            table = items.candidate_table()[first:]
            if terms is None:
                return catalogue_softmax_loss(queries, table, ids - first)
            every = tf.range(first, items.vocabulary_size)
            return catalogue_softmax_loss(
                queries,
                table,
                ids - first,
                gates=terms.gates,
                features=lambda rows: terms.gather(rows).features(every),
            )
        sampled = self._sample(pair_ids, weights, items.vocabulary_size)
        negative_logits = score(queries, items.candidates(sampled.ids), interests)
        positive_logits = score_pairs(
            tf.gather(queries, pair_rows), items.candidates(pair_ids), interests
        )
        if terms is not None:
            negative_logits += terms(sampled.ids)
            positive_logits += terms.gather(pair_rows)(pair_ids[:, tf.newaxis])[:, 0]
        log_count, log_count_of = sampled.log_expected_count, sampled.log_expected_count_of
        if self.loss_name == "softmax":
            negative_logits -= log_count
            log_sums = sampled_log_sum_exp(negative_logits, sampled.ids, sampled.mask, ids)
            positive_logits -= log_count_of(pair_ids)
            return set_softmax_loss(positive_logits, tf.gather(log_sums, pair_rows), weights)
        visible = visible_negatives(sampled.ids, sampled.mask, ids)
        if self.loss_name == "bpr_max":
            return bpr_max_loss(
                positive_logits,
                negative_logits,
                visible,
                pair_rows,
                weights,
                log_count,
                self.score_regularization,
            )
        distinct = tf.reduce_sum(tf.cast(sampled.mask, tf.float32))
        rate = distinct / (items.vocabulary_size - self.first_item_index)
        if self.negatives != "uniform":
            negative_logits -= log_count - tf.math.log(rate)
            positive_logits -= log_count_of(pair_ids) - tf.math.log(rate)
        return gbce_loss(
            positive_logits, negative_logits, visible, pair_rows, weights, rate, self.calibration
        )

    def _sample(
        self, positive_ids: tf.Tensor, weights: tf.Tensor, vocabulary_size: int
    ) -> SampledCandidates:
        low, probability = self.first_item_index, self.candidate_sampling_probability
        if probability is not None and len(probability) != vocabulary_size:
            raise ValueError(
                f"`candidate_sampling_probability` should have {vocabulary_size} entries, one a "
                f"vocabulary index. Received: {len(probability)}"
            )
        if self.negatives == "uniform":
            return uniform_candidates(self.num_negatives, low, vocabulary_size)
        if self.negatives == "log_uniform":
            return log_uniform_candidates(self.num_negatives, low, vocabulary_size)
        if self.negatives == "popularity":
            return popularity_candidates(self.num_negatives, self._popularity)
        if self.negatives == "in_batch":
            return in_batch_candidates(self.num_negatives, positive_ids, weights, probability)
        return mixed_candidates(
            self.num_negatives, low, vocabulary_size, positive_ids, weights, probability
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
