"""Business rules of a served model, as functions in its graph.

Hard rules (`masks`) decide which candidates may be recommended: masks [B, C], joined by `&`. They
never subtract from a score, which a large score would survive. Soft rules (`order`) add to the
scores before the top k (`freshness_bonus`), or choose among the top k (`category_cap`,
`maximal_marginal_relevance`).
"""

from tfsessionrec.rules.masks import allow_only, exclude, has_tags
from tfsessionrec.rules.order import (
    NO_TIME,
    category_cap,
    freshness_bonus,
    maximal_marginal_relevance,
)

__all__ = [
    "NO_TIME",
    "allow_only",
    "category_cap",
    "exclude",
    "freshness_bonus",
    "has_tags",
    "maximal_marginal_relevance",
]
