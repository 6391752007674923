"""Simple methods that every model has to be better than."""

from tfsessionrec.baselines.popularity import Popularity

__all__ = ["Popularity"]
