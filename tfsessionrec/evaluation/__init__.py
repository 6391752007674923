"""Exact evaluation of models that give `Queries`, embeddings or sparse scores, and their lists."""

from tfsessionrec.evaluation.catalogue_metrics import CatalogueMetrics
from tfsessionrec.evaluation.compare import Comparison, compare
from tfsessionrec.evaluation.ensemble import Ensemble
from tfsessionrec.evaluation.evaluate import evaluate
from tfsessionrec.evaluation.evaluate_ranking import evaluate_ranking
from tfsessionrec.evaluation.joint_report import JointReport
from tfsessionrec.evaluation.ranks import MISS, Slices, rank_targets
from tfsessionrec.evaluation.recommend import recommend
from tfsessionrec.evaluation.report import Report
from tfsessionrec.evaluation.streaming import evaluate_streaming

__all__ = [
    "MISS",
    "CatalogueMetrics",
    "Comparison",
    "Ensemble",
    "JointReport",
    "Report",
    "Slices",
    "compare",
    "evaluate",
    "evaluate_ranking",
    "evaluate_streaming",
    "rank_targets",
    "recommend",
]
