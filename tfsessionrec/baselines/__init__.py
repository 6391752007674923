"""Simple methods that every model has to be better than."""

from tfsessionrec.baselines.association_rules import AssociationRules
from tfsessionrec.baselines.item_knn import ItemKNN
from tfsessionrec.baselines.popularity import Popularity
from tfsessionrec.baselines.sequential_rules import SequentialRules
from tfsessionrec.baselines.session_baseline import SessionBaseline

__all__ = ["AssociationRules", "ItemKNN", "Popularity", "SequentialRules", "SessionBaseline"]
