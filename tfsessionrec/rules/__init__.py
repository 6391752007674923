"""Business rules of a served model, as small functions in its graph.

Hard rules say which candidates may be recommended at all: masks [B, C], joined by `&`; no number
is ever taken from a score. Soft rules add to the scores before the best are taken
(`freshness_bonus`), or choose among those that came first (`category_cap`,
`maximal_marginal_relevance`).
"""

from tfsessionrec.rules.allow_only import allow_only
from tfsessionrec.rules.category_cap import category_cap
from tfsessionrec.rules.exclude import exclude
from tfsessionrec.rules.freshness_bonus import freshness_bonus
from tfsessionrec.rules.has_tags import has_tags
from tfsessionrec.rules.maximal_marginal_relevance import maximal_marginal_relevance

__all__ = [
    "allow_only",
    "category_cap",
    "exclude",
    "freshness_bonus",
    "has_tags",
    "maximal_marginal_relevance",
]
