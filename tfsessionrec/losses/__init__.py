"""Losses as pure functions. Each returns a sum and a count, which any reduction can follow."""

from tfsessionrec.losses.catalogue_softmax import catalogue_softmax_loss
from tfsessionrec.losses.retrieval import (
    LossSum,
    bpr_max_loss,
    gbce_loss,
    sampled_log_sum_exp,
    set_softmax_loss,
    visible_negatives,
)
from tfsessionrec.losses.sampled_loss import SampledScores, sampled_loss
from tfsessionrec.losses.shown_lists import (
    binary_cross_entropy_loss,
    listwise_softmax_loss,
    pairwise_logistic_loss,
)

__all__ = [
    "LossSum",
    "SampledScores",
    "binary_cross_entropy_loss",
    "bpr_max_loss",
    "catalogue_softmax_loss",
    "gbce_loss",
    "listwise_softmax_loss",
    "pairwise_logistic_loss",
    "sampled_log_sum_exp",
    "sampled_loss",
    "set_softmax_loss",
    "visible_negatives",
]
