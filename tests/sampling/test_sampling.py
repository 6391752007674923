"""Samplers: what they draw, and that their expected counts are those of what they draw."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.sampling import in_batch_candidates, mixed_candidates, uniform_candidates

POSITIVES = tf.constant([2, 2, 2, 3, 7, 9], tf.int32)
WEIGHTS = tf.constant([1, 1, 1, 1, 1, 0], tf.int32)
SHARES = np.array([0, 0, 0.6, 0.2, 0, 0, 0, 0.2, 0, 0], np.float32)


def uniform():
    return uniform_candidates(6, low=2, high=10)


def in_batch(probability=None):
    return in_batch_candidates(6, POSITIVES, WEIGHTS, probability)


def mixed():
    return mixed_candidates(6, 2, 10, POSITIVES, WEIGHTS)


@pytest.mark.parametrize("sampler", [uniform, in_batch, mixed])
def test_expected_counts_are_those_observed(sampler):
    tf.random.set_seed(0)
    draw = tf.function(lambda: sampler()[:3])
    seen, rounds = np.zeros(10), 4000
    for _ in range(rounds):
        ids, mask, _ = (x.numpy() for x in draw())
        assert np.all(np.diff(ids) >= 0)
        kept = ids[mask]
        assert len(set(kept)) == len(kept)
        assert set(kept) == set(ids)
        seen[kept] += 1
    expected = np.exp(sampler().log_expected_count_of(tf.range(10)).numpy())
    drawn = seen > 0
    np.testing.assert_allclose(seen[drawn] / rounds, expected[drawn], atol=0.03)
    assert not drawn[:2].any()  # padding and out-of-vocabulary
    allowed = {"uniform": range(2, 10), "in_batch": (2, 3, 7), "mixed": range(2, 10)}
    assert set(np.flatnonzero(drawn)) == set(allowed[sampler.__name__])


def test_given_probability_equals_its_share_of_the_batch():
    ids = tf.constant([2, 3, 7])
    given = in_batch(tf.constant(SHARES)).log_expected_count_of(ids)
    np.testing.assert_allclose(given, in_batch().log_expected_count_of(ids), rtol=1e-5)
    # by hand: 1 - (1 - 0.2)^6
    assert np.exp(given[1]) == pytest.approx(1 - 0.8**6, rel=1e-5)


def test_small_probabilities_keep_their_digits():
    sampled = uniform_candidates(10, 0, 10_000_000)
    assert np.exp(sampled.log_expected_count[0]) == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize("sampler", [in_batch_candidates, mixed_candidates])
def test_batch_without_a_positive(sampler):
    bounds = (2, 10) if sampler is mixed_candidates else ()
    for positives, weights in ((tf.zeros([0], tf.int32), tf.zeros([0])), ([5], [0.0])):
        sampled = sampler(4, *bounds, tf.constant(positives, tf.int32), tf.constant(weights))
        assert 5 not in sampled.ids.numpy()[: 2 if sampler is mixed_candidates else None] or bounds
        assert np.all(np.isfinite(sampled.log_expected_count))


@pytest.mark.parametrize("sampler", [uniform, in_batch, mixed])
def test_xla_and_seed(sampler):
    compiled = tf.function(lambda: sampler()[:3], jit_compile=True)
    assert all(np.all(np.isfinite(x.numpy().astype(float))) for x in compiled())
    draws = []
    for _ in range(2):
        tf.random.set_seed(3)
        draws.append(sampler().ids.numpy())
    np.testing.assert_array_equal(*draws)
