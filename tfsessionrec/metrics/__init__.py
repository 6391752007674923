"""Ranking metrics: Keras metrics over scored lists, and NumPy functions of ranks."""

import warnings

from tfsessionrec.checks import positive_integer
from tfsessionrec.metrics.keras_metrics import (
    HitRateAtK,
    MAPAtK,
    MRRAtK,
    NDCGAtK,
    PrecisionAtK,
    RankingAUC,
    RankingMetric,
    RecallAtK,
)
from tfsessionrec.metrics.list_metrics import (
    coverage,
    exposure,
    gini,
    intra_list_diversity,
    list_mean,
    self_information,
)
from tfsessionrec.metrics.ranking_metrics import (
    average_precision,
    first_positive_rank,
    hit_rate,
    mrr,
    ndcg,
    pair_auc,
    precision,
    recall,
)

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
    "first_positive_rank",
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


def __getattr__(name: str) -> object:
    if name == "first_taken_rank":
        warnings.warn(
            "`first_taken_rank` is now `first_positive_rank`. The next release will not have the "
            "old name.",
            FutureWarning,
            stacklevel=2,
        )
        return first_positive_rank
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
