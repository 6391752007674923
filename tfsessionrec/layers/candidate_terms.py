"""The former name of the trend's term."""

from tfsessionrec.layers.terms.trend_term import TrendTerm as CandidateTerms

__all__ = ["CandidateTerms"]
