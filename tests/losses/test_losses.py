"""Losses against NumPy, and cases checked by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.losses import (
    binary_cross_entropy_loss,
    catalogue_softmax_loss,
    pairwise_logistic_loss,
    sampled_log_sum_exp,
    set_softmax_loss,
)
from tfsessionrec.losses.next_session import next_session, positive_pairs
from tfsessionrec.scoring import Queries

RNG = np.random.default_rng(0)


def log_sum_exp(values):
    return np.log(np.sum(np.exp(values - values.max()))) + values.max()


@pytest.mark.parametrize("block_elements", [1, 30, 64, 10_000])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_catalogue_softmax_and_gradient(block_elements, jit_compile):
    queries = RNG.normal(size=(7, 4)).astype(np.float32)
    candidates = RNG.normal(size=(11, 4)).astype(np.float32)
    positives = np.array([[3, -1], [-1, -1], [0, 10], [5, 6], [-1, 2], [1, 2], [-1, -1]], np.int32)

    @tf.function(jit_compile=jit_compile)
    def ours(queries, candidates):
        with tf.GradientTape() as tape:
            tape.watch([queries, candidates])
            loss = catalogue_softmax_loss(
                queries, candidates, tf.constant(positives), block_elements, least_queries=1
            )
            total = 3.0 * loss.total
        return loss, *tape.gradient(total, [queries, candidates])

    loss, by_query, by_candidate = ours(tf.constant(queries), tf.constant(candidates))
    expected, count = 0.0, 0
    expected_query, expected_candidate = np.zeros_like(queries), np.zeros_like(candidates)
    for q in range(7):
        own = [p for p in positives[q] if p >= 0]
        for positive in own:
            kept = [positive] + [c for c in range(11) if c not in own]
            logits = candidates[kept] @ queries[q]
            expected += log_sum_exp(logits) - logits[0]
            count += 1
            slope = np.exp(logits - log_sum_exp(logits))
            slope[0] -= 1
            expected_query[q] += 3 * slope @ candidates[kept]
            expected_candidate[kept] += 3 * slope[:, None] * queries[q]
    assert float(loss.total) == pytest.approx(expected, rel=1e-5)
    assert float(loss.count) == count
    np.testing.assert_allclose(by_query, expected_query, atol=2e-5)
    np.testing.assert_allclose(by_candidate, expected_candidate, atol=2e-5)


@pytest.mark.parametrize("num_interests", [1, 3])
@pytest.mark.parametrize("block_elements", [1, 30, 10_000])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_catalogue_softmax_of_interests(num_interests, block_elements, jit_compile):
    rng = np.random.default_rng(3)
    queries = tf.constant(rng.normal(size=(7, num_interests, 4)), tf.float32)
    candidates = tf.constant(rng.normal(size=(11, 4)), tf.float32)
    positives = np.array([[3, -1], [-1, -1], [0, 10], [5, 6], [-1, 2], [1, 2], [-1, -1]], np.int32)

    def naive(queries, candidates):
        scores = tf.reduce_max(tf.einsum("qnd,cd->qnc", queries, candidates), axis=1)
        total = 0.0
        for q, row in enumerate(positives):
            own = [p for p in row if p >= 0]
            for positive in own:
                kept = [positive] + [c for c in range(11) if c not in own]
                total += tf.reduce_logsumexp(tf.gather(scores[q], kept)) - scores[q, positive]
        return total

    @tf.function(jit_compile=jit_compile)
    def ours(queries, candidates):
        with tf.GradientTape() as tape:
            tape.watch([queries, candidates])
            loss = catalogue_softmax_loss(
                Queries(queries), candidates, tf.constant(positives), block_elements, 1
            )
            total = 3.0 * loss.total
        return loss, *tape.gradient(total, [queries, candidates])

    loss, *gradients = ours(queries, candidates)
    with tf.GradientTape() as tape:
        tape.watch([queries, candidates])
        expected = naive(queries, candidates)
    assert float(loss.total) == pytest.approx(float(expected), rel=1e-5)
    assert float(loss.count) == 8
    for one, other in zip(gradients, tape.gradient(expected, [queries, candidates])):
        np.testing.assert_allclose(one, 3 * other, atol=2e-5)
    if num_interests == 1:
        plain = catalogue_softmax_loss(queries[:, 0], candidates, tf.constant(positives))
        assert float(plain.total) == pytest.approx(float(loss.total), rel=1e-6)


@pytest.mark.parametrize("shape", [(0, 1), (3, 1), (0, 2)])
def test_catalogue_softmax_of_no_pair(shape):
    queries = tf.Variable(tf.ones([shape[0], 4]))
    with tf.GradientTape() as tape:
        loss = catalogue_softmax_loss(queries, tf.ones([5, 4]), tf.fill(shape, -1))
    assert float(loss.mean) == 0
    np.testing.assert_array_equal(tape.gradient(loss.total, queries), np.zeros([shape[0], 4]))


def test_other_positives_are_masked_however_large_their_score():
    # 2e5 survives TFRS' subtraction of 1e5; here it must not
    candidates = tf.constant([[2e5], [1.0], [1.0]])
    loss = catalogue_softmax_loss(tf.constant([[1.0]]), candidates, tf.constant([[0, 1]]))
    assert float(loss.total) == pytest.approx(np.log(2), rel=1e-5)


def test_sampled_log_sum_exp():
    logits = RNG.normal(size=(2, 4)).astype(np.float32)
    ids = tf.constant([3, 5, 5, 9])
    mask = tf.constant([True, True, False, True])
    result = sampled_log_sum_exp(logits, ids, mask, tf.constant([[5, 7], [-1, 9]]))
    assert float(result[0]) == pytest.approx(log_sum_exp(logits[0, [0, 3]]), abs=1e-5)
    assert float(result[1]) == pytest.approx(log_sum_exp(logits[1, [0, 1]]), abs=1e-5)


def test_set_softmax_is_cross_entropy_against_the_negatives():
    logits = np.array([2.0, 1.0, 0.5, -1.0], np.float32)  # two positives, two negatives
    negatives = log_sum_exp(logits[2:])
    loss = set_softmax_loss(logits[:2], np.full(2, negatives), np.ones(2))
    by_hand = [-np.log(np.exp(s) / (np.exp(s) + np.exp(0.5) + np.exp(-1.0))) for s in (2.0, 1.0)]
    assert float(loss.total) == pytest.approx(sum(by_hand), rel=1e-5)
    assert loss.count == 2


def test_set_softmax_ignores_padding_and_allows_nothing():
    loss = set_softmax_loss(tf.constant([1.0, 50.0]), tf.zeros([2]), tf.constant([True, False]))
    assert float(loss.mean) == pytest.approx(np.log1p(np.exp(-1.0)), rel=1e-5)
    assert set_softmax_loss(tf.zeros([0]), tf.zeros([0]), tf.zeros([0])).mean == 0


def test_pairwise_logistic():
    logits = np.array([[1.0, 0.0, 3.0, 9.0], [0.5, 2.0, 0.0, 0.0]], np.float32)
    labels = np.array([[1, 0, 0, 0], [1, 1, 0, 0]], np.float32)
    mask = np.array([[True, True, True, False], [True, True, False, False]])
    loss = pairwise_logistic_loss(tf.constant(logits), labels, tf.constant(mask))
    # first list: (1 against 0) and (1 against 3); the second has no negative
    assert float(loss.total) == pytest.approx(np.log1p(np.exp(-1)) + np.log1p(np.exp(2)), rel=1e-5)
    assert loss.count == 2


def test_binary_cross_entropy():
    logits = tf.constant([[2.0, -1.0, 7.0]])
    mask = tf.constant([[True, True, False]])
    loss = binary_cross_entropy_loss(logits, tf.constant([[1.0, 0.0, 0.0]]), mask)
    assert float(loss.total) == pytest.approx(np.log1p(np.exp(-2)) + np.log1p(np.exp(-1)), rel=1e-5)
    assert loss.count == 2


@pytest.mark.parametrize("loss", [pairwise_logistic_loss, binary_cross_entropy_loss])
def test_nothing_to_rank_is_zero_with_a_finite_gradient(loss):
    logits = tf.Variable([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        mean = loss(logits, tf.ones([1, 2]), tf.zeros([1, 2], tf.bool)).mean
    assert mean == 0
    np.testing.assert_array_equal(tape.gradient(mean, logits), np.zeros([1, 2]))


def test_next_session_literal():
    item_ids = tf.constant([[[2, 3, 0, 0], [4, 5, 4, 6], [7, 7, 8, 0], [9, 0, 0, 0]]])
    labels = tf.constant([[[1, 0, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]])
    target = next_session(item_ids, labels)
    expected_positive = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    expected_shown = [[1, 1, 0, 1], [0, 1, 1, 0], [1, 0, 0, 0]]
    np.testing.assert_array_equal(target.item_ids, item_ids[:, 1:])
    # 4 is taken twice and counts once; 7 was shown, then taken: no negative
    np.testing.assert_array_equal(target.positive[0], np.array(expected_positive, bool))
    np.testing.assert_array_equal(target.shown[0], np.array(expected_shown, bool))


def test_next_session_without_labels_and_with_targets_and_oov():
    item_ids = tf.constant([[[2], [3], [1], [4]]])
    target = next_session(item_ids, is_target=tf.constant([[True, False, True, True]]))
    np.testing.assert_array_equal(target.positive[0, :, 0], [False, True, True])
    target = next_session(item_ids, first_item_index=2)
    np.testing.assert_array_equal(target.positive[0, :, 0], [True, False, True])


@pytest.mark.parametrize("static_shapes", [False, True])
def test_positive_pairs_literal(static_shapes):
    # [B, S, I] = [2, 3, 2]: one position predicts 4 and 5, one 6, two nothing
    target = next_session(tf.constant([[[2, 3], [4, 5], [6, 0]], [[2, 0], [0, 0], [0, 0]]]))
    pairs, kept = positive_pairs(target, static_shapes)
    if static_shapes:
        assert pairs.positives.numpy().tolist() == [[4, 5], [6, -1], [-1, -1], [-1, -1]]
        assert pairs.rows.numpy().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert pairs.item_ids.numpy().tolist() == [4, 5, 6, 0, 0, 0, 0, 0]
        assert pairs.weights.numpy().tolist() == [True] * 3 + [False] * 5
        assert kept.numpy().all()
    else:
        assert pairs.positives.numpy().tolist() == [[4, 5], [6, -1]]
        assert pairs.rows.numpy().tolist() == [0, 0, 1]
        assert pairs.item_ids.numpy().tolist() == [4, 5, 6]
        assert pairs.weights.numpy().all()
        assert kept.numpy().tolist() == [True, True, False, False]
