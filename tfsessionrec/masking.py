"""Deprecated: the masks are now in `tfsessionrec.session_batch`."""

import warnings

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

warnings.warn(
    "`tfsessionrec.masking` is now `tfsessionrec.session_batch`. The next release will not have "
    "the old name.",
    FutureWarning,
    stacklevel=2,
)
