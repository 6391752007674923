"""One reduction for both tasks, so that a weight between them means what it says."""

import tensorflow as tf

from tfsessionrec.losses import LossSum


def global_mean(loss: LossSum) -> tf.Tensor:
    """This replica's share of the mean over the terms of the whole (global) batch.

    Under `tf.distribute` gradients of replicas are summed: each divides its own sum by the count
    of all, so that the result does not depend on the number of replicas. 0 where nobody has a term.
    """
    count = loss.count
    if tf.distribute.has_strategy() and tf.distribute.in_cross_replica_context() is False:
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            count = context.all_reduce(tf.distribute.ReduceOp.SUM, count)
    return tf.math.divide_no_nan(loss.total, count)
