"""Type names shared across the package."""

from collections.abc import Mapping
from typing import Any

# A session batch: item_ids [B, S, I], labels [B, S, I], session_times [B, S], ... (see DESIGN of
# the batch in `tfsessionrec.data.session_dataset`).
Features = Mapping[str, Any]
Config = dict[str, Any]
