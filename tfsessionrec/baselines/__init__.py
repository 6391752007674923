"""Simple methods that every model has to beat."""

from tfsessionrec.baselines.matrix_factorization import MatrixFactorization
from tfsessionrec.baselines.pair_rules import AssociationRules, ItemKNN, SequentialRules
from tfsessionrec.baselines.popularity import Popularity, RecentPopularity, SessionPopularity
from tfsessionrec.baselines.session_baseline import SessionBaseline
from tfsessionrec.baselines.session_neighbors import Explanation
from tfsessionrec.baselines.sknn import SKNN, VSKNN
from tfsessionrec.baselines.stan import STAN, VSTAN

__all__ = [
    "SKNN",
    "STAN",
    "VSKNN",
    "VSTAN",
    "AssociationRules",
    "Explanation",
    "ItemKNN",
    "MatrixFactorization",
    "Popularity",
    "RecentPopularity",
    "SequentialRules",
    "SessionBaseline",
    "SessionPopularity",
]
