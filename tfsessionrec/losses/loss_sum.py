"""A loss before its reduction."""

from typing import NamedTuple

import tensorflow as tf


class LossSum(NamedTuple):
    """Sum of a loss over its terms, and the number of terms (both float32 scalars).

    Sums and counts of several batches or replicas add up, means do not.
    """

    total: tf.Tensor
    count: tf.Tensor

    @property
    def mean(self) -> tf.Tensor:
        """`total / count`; 0 without a term."""
        return tf.math.divide_no_nan(self.total, self.count)

    @property
    def global_mean(self) -> tf.Tensor:
        """This replica's share of the mean over the terms of the whole (global) batch.

        `tf.distribute` sums the gradients of replicas: each divides its own sum by the count of
        all, so that the result does not depend on the number of replicas. 0 without a term.
        """
        count = self.count
        if tf.distribute.has_strategy() and tf.distribute.in_cross_replica_context() is False:
            context = tf.distribute.get_replica_context()
            if context.num_replicas_in_sync > 1:
                count = context.all_reduce(tf.distribute.ReduceOp.SUM, count)
        return tf.math.divide_no_nan(self.total, count)
