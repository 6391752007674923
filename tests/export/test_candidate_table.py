"""The table of an export against NumPy: what it returns, in which order, whatever the masks."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.export.candidate_table import CandidateTable

LOWEST = np.finfo(np.float32).min


def oracle(embeddings, queries, k, bonus=None, allowed=None):
    """Scores and rows, one query after another, from a stable sort of plain products."""
    scores = np.stack([np.atleast_2d(query) @ embeddings.T for query in queries]).max(axis=1)
    if bonus is not None:
        scores = scores + bonus
    if allowed is not None:
        scores = np.where(allowed, scores, LOWEST)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, rows, axis=1), rows


def small_integers(shape, seed, low=-3, high=4):
    """Numbers whose products are the same in any order of summing, with many equal scores."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize(
    ("num_items", "chunk_size"), [(1, None), (7, None), (64, 8), (1000, 32), (1003, 32), (50, 999)]
)
def test_top_k_is_that_of_a_stable_sort(dtype, num_items, chunk_size):
    embeddings = small_integers((num_items, 4), seed=num_items)
    table = CandidateTable(embeddings, dtype=dtype, chunk_size=chunk_size)
    top_k = tf.function(table.top_k)
    for batch, interests, k in itertools.product((1, 5), (None, 1, 3), (0, 1, 10, 2000)):
        shape = (batch, 4) if interests is None else (batch, interests, 4)
        queries = small_integers(shape, seed=batch)
        scores, rows = top_k(tf.constant(queries), tf.constant(k), interests=interests)
        expected_scores, expected_rows = oracle(embeddings, queries, k)
        np.testing.assert_array_equal(rows, expected_rows)
        np.testing.assert_allclose(scores, expected_scores, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("of_rows", [False, True], ids=["of all rows", "of each row"])
def test_bonus_and_allowed_rows(dtype, of_rows):
    num_items, batch, k = 203, 3, 20
    embeddings = small_integers((num_items, 4), seed=0)
    table = CandidateTable(embeddings, dtype=dtype, chunk_size=16)
    queries = small_integers((batch, 4), seed=1)
    shape = (batch, num_items) if of_rows else (num_items,)
    bonus = small_integers(shape, seed=2, low=-20, high=20)
    few = np.random.default_rng(3).random(shape) < 0.05  # fewer than k
    many = np.random.default_rng(3).random(shape) < 0.7
    top_k = tf.function(table.top_k)
    for b, a in itertools.product((None, bonus), (None, few, many)):
        scores, rows = top_k(
            tf.constant(queries),
            tf.constant(k),
            bonus=None if b is None else tf.constant(b),
            allowed=None if a is None else tf.constant(a),
        )
        expected_scores, expected_rows = oracle(embeddings, queries, k, b, a)
        np.testing.assert_array_equal(rows, expected_rows)
        np.testing.assert_allclose(scores, expected_scores, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embeddings": np.zeros((3,))}, r"`embeddings` .* \[C, D\]. Received: shape \(3,\)"),
        ({"embeddings": np.zeros((0, 4))}, r"Received: shape \(0, 4\)"),
        ({"embeddings": np.full((2, 2), np.nan)}, "`embeddings` should be finite"),
        ({"dtype": "float16"}, "`dtype` should be one of .* Received: `dtype`='float16'"),
        ({"chunk_size": 0}, "`chunk_size` should be a positive integer. Received: `chunk_size`=0"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        CandidateTable(**{"embeddings": np.ones((3, 2)), **arguments})
