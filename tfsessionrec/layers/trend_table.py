"""The features of `TrendFeatures` at one moment, of what is not neutral."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class TrendTable(NamedTuple):
    """What `TrendFeatures.table` gives: a small table, for serving.

    Attributes:
        item_ids: int32 [n], ascending: the items with a feature of their own that is not 0.
        values: float32 [n, H + A], those features.
        leaders: int32 [m], ascending: items that others followed.
        followers: int32 [m], the item that followed each.
        follow_values: float32 [m, M], the features of that pair.
    """

    item_ids: NDArray[np.int32]
    values: NDArray[np.float32]
    leaders: NDArray[np.int32]
    followers: NDArray[np.int32]
    follow_values: NDArray[np.float32]
