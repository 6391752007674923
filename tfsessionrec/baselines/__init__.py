"""Simple methods that every model has to be better than."""

from tfsessionrec.baselines.association_rules import AssociationRules
from tfsessionrec.baselines.explanation import Explanation
from tfsessionrec.baselines.item_knn import ItemKNN
from tfsessionrec.baselines.matrix_factorization import MatrixFactorization
from tfsessionrec.baselines.popularity import Popularity
from tfsessionrec.baselines.recent_popularity import RecentPopularity
from tfsessionrec.baselines.sequential_rules import SequentialRules
from tfsessionrec.baselines.session_baseline import SessionBaseline
from tfsessionrec.baselines.session_popularity import SessionPopularity
from tfsessionrec.baselines.sknn import SKNN
from tfsessionrec.baselines.stan import STAN
from tfsessionrec.baselines.vsknn import VSKNN
from tfsessionrec.baselines.vstan import VSTAN

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
