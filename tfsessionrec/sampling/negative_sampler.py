"""Samplers by name."""

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.checks import non_negative_integer, number, positive_integer
from tfsessionrec.sampling.popularity import popularity_candidates, popularity_table
from tfsessionrec.sampling.samplers import (
    SampledCandidates,
    in_batch_candidates,
    log_uniform_candidates,
    mixed_candidates,
    uniform_candidates,
)

SAMPLERS = ("uniform", "in_batch", "mixed", "log_uniform", "popularity")


class NegativeSampler:
    """Draws the negatives of a batch.

    Args:
        negatives: `"uniform"`, `"in_batch"`, `"mixed"`, `"log_uniform"` or `"popularity"`.
        num_negatives: Negatives drawn a batch. Defaults to 512.
        candidate_sampling_probability: [V] shares that `"popularity"` draws by and that correct
            `"in_batch"` and `"mixed"`. Defaults to None: the shares in the batch.
        first_item_index: Lower indices are never drawn. Defaults to 2.
        popularity_power: Power of the shares that `"popularity"` draws by. Defaults to 1.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> sampler = NegativeSampler("uniform", num_negatives=3, first_item_index=2)
    >>> sampler(tf.constant([2]), tf.constant([True]), vocabulary_size=3).ids.numpy()
    array([2, 2, 2], dtype=int32)
    """

    def __init__(
        self,
        negatives: str,
        num_negatives: int = 512,
        candidate_sampling_probability: ArrayLike | None = None,
        first_item_index: int = 2,
        popularity_power: float = 1.0,
    ) -> None:
        if not isinstance(negatives, str) or negatives not in SAMPLERS:
            raise ValueError(
                f"`negatives` should be one of {', '.join(SAMPLERS)}. Received: "
                f"`negatives`={negatives!r}"
            )
        self.negatives = negatives
        self.num_negatives = positive_integer("num_negatives", num_negatives)
        self.first_item_index = non_negative_integer("first_item_index", first_item_index)
        number("popularity_power", popularity_power, least=0)
        self.probability = None
        if candidate_sampling_probability is not None:
            self.probability = _shares(candidate_sampling_probability)
        if negatives == "popularity":
            if self.probability is None:
                raise ValueError(
                    "`candidate_sampling_probability` should be given where `negatives` is "
                    "popularity: negatives are drawn by it. Received: None"
                )
            self._table = popularity_table(self.probability, first_item_index, popularity_power)

    def __call__(
        self, positive_ids: tf.Tensor, weights: tf.Tensor, vocabulary_size: int
    ) -> SampledCandidates:
        """Draws once for all queries of a batch.

        Args:
            positive_ids: [P] int tensor of the batch's positives.
            weights: [P] tensor, 0 for entries that are padding.
            vocabulary_size: One past the last index that may be drawn.

        Raises:
            ValueError: If the shares are of another vocabulary.
        """
        low, probability = self.first_item_index, self.probability
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
            return popularity_candidates(self.num_negatives, self._table)
        if self.negatives == "in_batch":
            return in_batch_candidates(self.num_negatives, positive_ids, weights, probability)
        return mixed_candidates(
            self.num_negatives, low, vocabulary_size, positive_ids, weights, probability
        )


def _shares(values: ArrayLike) -> NDArray[np.float32]:
    shares = np.asarray(values, np.float32)
    if shares.ndim != 1 or not np.all(np.isfinite(shares)) or shares.min() < 0:
        raise ValueError(
            "`candidate_sampling_probability` should be a vector of finite shares, one a "
            f"vocabulary index. Received: shape {shares.shape}"
        )
    return shares
