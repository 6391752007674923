"""Popularity as a model of one dimension."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.baselines import Popularity
from tfsessionrec.scoring import plain_queries


def test_scores_are_the_counts():
    counts = np.array([0, 0, 5, 9, 5, 1])
    popularity = Popularity(counts)
    features = {"item_ids": tf.constant([[[3, 2], [4, 0], [0, 0]], [[0, 0], [0, 0], [0, 0]]])}
    table = popularity.candidate_embeddings()
    ids = tf.range(len(counts))
    last = plain_queries(popularity.encode(features)).score(table, ids)
    np.testing.assert_array_equal(last, [counts, counts])
    every = plain_queries(popularity(features, training=False)).score(table, ids)
    np.testing.assert_array_equal(every, np.broadcast_to(counts, (6, 6)))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([[1, 2]], r"`counts` should be numbers of shape \[vocabulary_size\]"),
        (["a"], "`counts` should be numbers"),
        ([0, 1, -2], r"`counts\[2\]`=-2"),
        ([0.0, np.nan], r"`counts\[1\]`=nan"),
    ],
)
def test_bad_counts(counts, message):
    with pytest.raises(ValueError, match=message):
        Popularity(counts)
