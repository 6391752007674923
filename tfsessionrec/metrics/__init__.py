"""Ranking metrics: Keras metrics over scored lists, and NumPy functions of ranks."""

from tfsessionrec.checks import positive_integer
from tfsessionrec.metrics.hit_rate_at_k import HitRateAtK
from tfsessionrec.metrics.list_metrics import (
    coverage,
    exposure,
    gini,
    intra_list_diversity,
    list_mean,
    self_information,
)
from tfsessionrec.metrics.map_at_k import MAPAtK
from tfsessionrec.metrics.mrr_at_k import MRRAtK
from tfsessionrec.metrics.ndcg_at_k import NDCGAtK
from tfsessionrec.metrics.precision_at_k import PrecisionAtK
from tfsessionrec.metrics.ranking_auc import RankingAUC
from tfsessionrec.metrics.ranking_metric import RankingMetric
from tfsessionrec.metrics.ranking_metrics import (
    average_precision,
    first_taken_rank,
    hit_rate,
    mrr,
    ndcg,
    pair_auc,
    precision,
    recall,
)
from tfsessionrec.metrics.recall_at_k import RecallAtK

__all__ = [
    "HitRateAtK",
    "MAPAtK",
    "MRRAtK",
    "NDCGAtK",
    "PrecisionAtK",
    "RankingAUC",
    "RankingMetric",
    "RecallAtK",
    "average_precision",
    "coverage",
    "exposure",
    "first_taken_rank",
    "gini",
    "hit_rate",
    "intra_list_diversity",
    "list_mean",
    "mrr",
    "ndcg",
    "pair_auc",
    "positive_integer",
    "precision",
    "recall",
    "self_information",
]
