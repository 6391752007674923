"""Simple methods that every model has to beat."""

from tfsessionrec.baselines.matrix_factorization import MatrixFactorization
from tfsessionrec.baselines.pair_rules import AssociationRules, ItemKNN, SequentialRules
from tfsessionrec.baselines.personal_popularity import PersonalPopularity
from tfsessionrec.baselines.popularity import Popularity, RecentPopularity, SessionPopularity
from tfsessionrec.baselines.session_baseline import SessionBaseline
from tfsessionrec.baselines.session_neighbors import Explanation
from tfsessionrec.baselines.sknn import SKNN, VSKNN
from tfsessionrec.baselines.stan import STAN, VSTAN
from tfsessionrec.baselines.tifu_knn import TIFUKNN

__all__ = [
    "SKNN",
    "STAN",
    "TIFUKNN",
    "VSKNN",
    "VSTAN",
    "AssociationRules",
    "Explanation",
    "ItemKNN",
    "MatrixFactorization",
    "PersonalPopularity",
    "Popularity",
    "RecentPopularity",
    "SequentialRules",
    "SessionBaseline",
    "SessionPopularity",
]
