"""Batches of whole histories, as a recommendation for every user reads them."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfsessionrec.data.batch_layout import BatchLayout, example_batches
from tfsessionrec.data.batch_order import BatchOrder
from tfsessionrec.data.examples.examples import Examples
from tfsessionrec.data.sessions import Sessions, user_bounds
from tfsessionrec.data.vocabulary import Vocabulary
from tfsessionrec.history_spec import HistorySpec

_POSITIONS = 2**14  # cells [B, S] of a batch


def history_batches(
    sessions: Sessions, vocabulary: Vocabulary, spec: HistorySpec, users: NDArray[np.int64]
) -> tf.data.Dataset:
    """Batches with one row a user: the newest part of the whole history that a model reads.

    Args:
        sessions: The histories; all sessions of a user are read, none is a target.
        vocabulary: Gives each item its index.
        spec: The part of a history that the model reads.
        users: Numbers of the users, from 0 in the order of `sessions`; the rows in their order.

    Returns:
        Batches as `session_dataset` describes them. Neighbors should have histories of equal
        length: a batch is padded to its longest one. `request_times` are those of the last event.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import Vocabulary, sessionize
    >>> log = pl.DataFrame({"s": [1, 1, 2], "item_id": [5, 6, 5], "timestamp": [0, 1, 2]})
    >>> sessions = sessionize(log, session="s")
    >>> vocabulary = Vocabulary.from_sessions(sessions)
    >>> batches = history_batches(sessions, vocabulary, HistorySpec(), np.array([1, 0]))
    >>> next(iter(batches))["item_ids"].numpy().tolist()
    [[[2, 0]], [[2, 3]]]
    """
    begin, end = user_bounds(sessions.events)
    begin, end = begin[users], end[users]
    examples = Examples(sessions.events, begin, end, end, asked="last_interaction")
    layout = BatchLayout(apart=False, longest=spec.max_sessions, max_targets=1, min_sessions=0)
    order = BatchOrder(batch_positions=_POSITIONS)
    return example_batches(examples, vocabulary, spec, layout, order)
