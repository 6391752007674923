"""gBCE, BPR-max and the list-wise softmax against NumPy, and cases checked by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.losses import (
    bpr_max_loss,
    gbce_loss,
    listwise_softmax_loss,
    visible_negatives,
)

RNG = np.random.default_rng(0)
# three queries, of which the last has no negative; four pairs, of which one is padding
POSITIVES = RNG.normal(size=4)
NEGATIVES = RNG.normal(size=(3, 5))
VISIBLE = np.array([[1, 1, 0, 1, 1], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]], bool)
ROWS = np.array([0, 0, 1, 2], np.int32)
WEIGHTS = np.array([1, 1, 1, 0], bool)


def arguments(positives=POSITIVES, negatives=NEGATIVES, weights=WEIGHTS):
    return (
        tf.constant(positives, tf.float32),
        tf.constant(negatives, tf.float32),
        tf.constant(VISIBLE),
        tf.constant(ROWS),
        tf.constant(weights),
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gbce_oracle(alpha, t):
    beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)  # the equation of the paper
    total = 0.0
    for s, row, counts in zip(POSITIVES, ROWS, WEIGHTS):
        negatives = NEGATIVES[row][VISIBLE[row]]
        terms = np.log(sigmoid(s) ** beta) + np.sum(np.log(1 - sigmoid(negatives)))
        total -= counts * terms / (len(negatives) + 1)
    return total


def bpr_max_oracle(log_counts, strength):
    total = 0.0
    for s, row, counts in zip(POSITIVES, ROWS, WEIGHTS):
        if counts:
            negatives = NEGATIVES[row][VISIBLE[row]]
            shares = np.exp(negatives) / np.exp(log_counts)[VISIBLE[row]]
            shares /= shares.sum()
            total -= np.log(np.sum(shares * sigmoid(s - negatives)))
            total += strength * np.sum(shares * negatives**2)
    return total


def test_visible_negatives_literal():
    visible = visible_negatives(
        tf.constant([3, 5, 5, 9]),
        tf.constant([True, True, False, True]),
        tf.constant([[5, 7], [-1, 9], [-1, -1], [3, 9]]),
    )
    expected = [[1, 0, 0, 1], [1, 1, 0, 0], [1, 1, 0, 1], [0, 1, 0, 0]]
    np.testing.assert_array_equal(visible, np.array(expected, bool))


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(("alpha", "t"), [(0.1, 0.0), (0.1, 0.75), (0.4, 1.0), (1.0, 0.5)])
def test_gbce(alpha, t, jit_compile):
    loss = tf.function(gbce_loss, jit_compile=jit_compile)(*arguments(), alpha, t)
    assert float(loss.total) == pytest.approx(gbce_oracle(alpha, t), rel=1e-5)
    assert loss.count == 3


def test_gbce_fully_calibrated_learns_the_share_of_the_log():
    # An item clicked 30 times of 100, and otherwise sampled once in ten: its share of the sampled
    # examples is 30 / 37. The loss is least at a probability of 0.3 for t = 1, 30 / 37 for t = 0.
    visible, rows = tf.constant([[True], [False]]), tf.constant([0, 1])
    for t, share in ((1.0, 0.3), (0.0, 30 / 37)):
        score = tf.Variable(np.log(share / (1 - share)), dtype=tf.float32)
        with tf.GradientTape() as tape:
            positives = tf.stack([tf.constant(1e9), score])  # the loss of the first is 0
            negatives = tf.reshape(tf.stack([score, score]), [2, 1])
            # 7 negative examples, of which a pair holds half, and 30 positive ones
            weights = tf.constant([2 * 7.0, 30.0])
            total = gbce_loss(positives, negatives, visible, rows, weights, 0.1, t).total
        assert float(tape.gradient(total, score)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("strength", [0.0, 1.5])
def test_bpr_max(strength, jit_compile):
    loss_of = tf.function(bpr_max_loss, jit_compile=jit_compile)
    log_counts = np.log([0.9, 0.1, 0.5, 0.3, 0.01])
    for given, oracle in ((None, np.zeros(5)), (tf.constant(log_counts, tf.float32), log_counts)):
        loss = loss_of(*arguments(), given, strength)
        assert float(loss.total) == pytest.approx(bpr_max_oracle(oracle, strength), rel=1e-5)
        assert loss.count == 3


def test_bpr_max_by_hand():
    # shares 1/4 and 3/4; the positive beats 0 with probability 3/4 and log 3 with 1/2
    loss = bpr_max_loss(
        tf.constant([np.log(3.0)], tf.float32),
        tf.constant([[0.0, np.log(3.0)]], tf.float32),
        tf.constant([[True, True]]),
        tf.constant([0]),
        tf.constant([True]),
        score_regularization=2.0,
    )
    expected = -np.log(0.25 * 0.75 + 0.75 * 0.5) + 2 * 0.75 * np.log(3) ** 2
    assert float(loss.mean) == pytest.approx(expected, rel=1e-5)


def test_bpr_max_gives_frequent_negatives_less_weight():
    # the logQ sign: the strong negative is the popular one, so its share must fall
    given = (tf.zeros([1]), tf.constant([[3.0, 0.0]]), tf.constant([[True, True]]), [0], [1.0])
    log_counts = tf.math.log([0.9, 0.1])
    corrected = bpr_max_loss(*given, log_counts).total
    assert corrected < bpr_max_loss(*given).total < bpr_max_loss(*given, -log_counts).total


@pytest.mark.parametrize("loss", [lambda *a: gbce_loss(*a, 0.2), bpr_max_loss])
@pytest.mark.parametrize("weights", [WEIGHTS, np.zeros(4, bool), np.ones(4, bool)])
def test_hidden_negatives_and_padding_do_not_matter(loss, weights):
    # 2e5 survives a subtraction of 1e5; here no hidden score may, nor any of a padded pair
    hidden = np.where(VISIBLE, NEGATIVES, 2e5)
    padded = np.where(weights, POSITIVES, -2e5)
    results = []
    for positives, negatives in ((POSITIVES, NEGATIVES), (padded, hidden)):
        given = arguments(positives, negatives, weights)
        with tf.GradientTape() as tape:
            tape.watch(given[:2])
            result = loss(*given)
            mean = result.mean
        by_positive, by_negative = tape.gradient(mean, given[:2])
        assert np.all(np.isfinite(by_positive))
        assert np.all(np.isfinite(by_negative))
        assert np.all(by_negative.numpy()[~VISIBLE] == 0)
        assert np.all(by_positive.numpy()[~weights] == 0)
        results.append(float(result.total))
    assert results[0] == pytest.approx(results[1], rel=1e-5)
    assert (results[0] == 0) == (not weights.any())


@pytest.mark.parametrize("loss", [lambda *a: gbce_loss(*a, 0.2), bpr_max_loss])
def test_no_query(loss):
    nothing = (tf.zeros([0]), tf.zeros([0, 5]), tf.zeros([0, 5], tf.bool), tf.zeros([0], tf.int32))
    assert loss(*nothing, tf.zeros([0])).mean == 0


def test_listwise_softmax():
    logits = np.array([[1.0, 0.0, 3.0, 9.0], [2.0, 1.0, 0.5, -1.0], [1.0, 2.0, 0.0, 0.0]])
    labels = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]])
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]], bool)
    loss = listwise_softmax_loss(tf.constant(logits, tf.float32), labels, tf.constant(mask))
    first = [-np.log(np.e / (np.e + 1 + np.exp(3)))]
    rest = np.exp(0.5) + np.exp(-1.0)  # the other positive is in no denominator
    second = [-np.log(np.exp(s) / (np.exp(s) + rest)) for s in (2.0, 1.0)]
    assert float(loss.total) == pytest.approx(sum(first + second), rel=1e-5)
    assert loss.count == 3  # the last list has no negative


@pytest.mark.parametrize("mask", [False, True])
def test_listwise_softmax_of_nothing_to_rank(mask):
    logits = tf.Variable([[1.0, 2e5]])
    with tf.GradientTape() as tape:
        loss = listwise_softmax_loss(logits, tf.ones([1, 2]), tf.fill([1, 2], mask))
        mean = loss.mean
    assert loss.count == 0
    np.testing.assert_array_equal(tape.gradient(mean, logits), np.zeros([1, 2]))


def test_listwise_softmax_hides_however_large_a_score():
    logits = tf.constant([[1.0, 2e5, 1.0, 2e5]])  # the second is positive too, the last padding
    mask = tf.constant([[True, True, True, False]])
    loss = listwise_softmax_loss(logits, tf.constant([[1, 1, 0, 0]]), mask)
    assert float(loss.total) == pytest.approx(np.log(2), rel=1e-5)
