"""A loss before its reduction."""

from typing import NamedTuple

import tensorflow as tf


class LossSum(NamedTuple):
    """Sum of a loss over its terms, and how many terms there were (both float32 scalars).

    Sums and counts of several batches or replicas add up, means do not.
    """

    total: tf.Tensor
    count: tf.Tensor

    @property
    def mean(self) -> tf.Tensor:
        """`total / count`; 0 where there is no term."""
        return tf.math.divide_no_nan(self.total, self.count)
