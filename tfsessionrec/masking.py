"""The masks of `tfsessionrec.session_batch`, under their former name."""

from tfsessionrec.session_batch import (
    item_mask,
    last_items,
    last_real,
    masked_mean,
    positive_negative_pairs,
    session_mask,
)

__all__ = [
    "item_mask",
    "last_items",
    "last_real",
    "masked_mean",
    "positive_negative_pairs",
    "session_mask",
]
