"""Losses as pure functions; each gives a sum and a count, so that any reduction can follow."""

from tfsessionrec.losses.binary_cross_entropy import binary_cross_entropy_loss
from tfsessionrec.losses.bpr_max import bpr_max_loss
from tfsessionrec.losses.catalogue_softmax import catalogue_softmax_loss
from tfsessionrec.losses.gbce import gbce_loss
from tfsessionrec.losses.listwise_softmax import listwise_softmax_loss
from tfsessionrec.losses.loss_sum import LossSum
from tfsessionrec.losses.pairwise_logistic import pairwise_logistic_loss
from tfsessionrec.losses.sampled_log_sum_exp import sampled_log_sum_exp
from tfsessionrec.losses.sampled_loss import SampledScores, sampled_loss
from tfsessionrec.losses.set_softmax import set_softmax_loss
from tfsessionrec.losses.visible_negatives import visible_negatives

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
