"""Exact evaluation of whatever offers `encode` and `candidate_embeddings`."""

from tfsessionrec.evaluation.catalogue_metrics import CatalogueMetrics
from tfsessionrec.evaluation.evaluate import evaluate
from tfsessionrec.evaluation.evaluate_ranking import evaluate_ranking
from tfsessionrec.evaluation.ranks import MISS, Slices, rank_targets
from tfsessionrec.evaluation.report import Report

__all__ = [
    "MISS",
    "CatalogueMetrics",
    "Report",
    "Slices",
    "evaluate",
    "evaluate_ranking",
    "rank_targets",
]
