"""Simple methods that every model has to be better than."""

from tfsessionrec.baselines.association_rules import AssociationRules
from tfsessionrec.baselines.popularity import Popularity
from tfsessionrec.baselines.session_baseline import SessionBaseline

__all__ = ["AssociationRules", "Popularity", "SessionBaseline"]
