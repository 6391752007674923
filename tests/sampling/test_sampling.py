"""Samplers: their draws, and the expected counts against the observed ones."""

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.sampling import (
    in_batch_candidates,
    log_uniform_candidates,
    mixed_candidates,
    popularity_candidates,
    popularity_table,
    uniform_candidates,
)
from tfsessionrec.sampling.popularity import count_not_above

POSITIVES = tf.constant([2, 2, 2, 3, 7, 9], tf.int32)
WEIGHTS = tf.constant([1, 1, 1, 1, 1, 0], tf.int32)
SHARES = np.array([0, 0, 0.6, 0.2, 0, 0, 0, 0.2, 0, 0], np.float32)


def uniform():
    return uniform_candidates(6, low=2, high=10)


def in_batch(probability=None):
    return in_batch_candidates(6, POSITIVES, WEIGHTS, probability)


def mixed():
    return mixed_candidates(6, 2, 10, POSITIVES, WEIGHTS)


def log_uniform():
    return log_uniform_candidates(6, low=2, high=10)


def popularity():
    return popularity_candidates(6, popularity_table(SHARES, low=2))


def tempered():
    return popularity_candidates(6, popularity_table(np.arange(10.0), low=2, power=0.5))


SAMPLERS = [uniform, in_batch, mixed, log_uniform, popularity, tempered]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_expected_counts_are_those_observed(sampler):
    tf.random.set_seed(0)
    draw = tf.function(lambda: sampler()[:3])
    seen, summed, rounds = np.zeros(10), 0.0, 4000
    values = np.linspace(1.0, 2.0, 10)
    for _ in range(rounds):
        ids, mask, log_counts = (x.numpy() for x in draw())
        assert np.all(np.diff(ids) >= 0)
        kept = ids[mask]
        assert len(set(kept)) == len(kept)
        assert set(kept) == set(ids)
        seen[kept] += 1
        summed += np.sum(values[kept] * np.exp(-log_counts[mask]))
    expected = np.exp(sampler().log_expected_count_of(tf.range(10)).numpy())
    drawn = seen > 0
    np.testing.assert_allclose(seen[drawn] / rounds, expected[drawn], atol=0.03)
    assert not drawn[:2].any()  # padding and out-of-vocabulary
    allowed = (2, 3, 7) if sampler in (in_batch, popularity) else range(2, 10)
    assert set(np.flatnonzero(drawn)) == set(allowed)
    # the logQ sign: weighted by the correction, a sample has the sum of all items
    assert summed / rounds == pytest.approx(values[drawn].sum(), rel=0.03)


def test_given_probability_equals_its_share_of_the_batch():
    ids = tf.constant([2, 3, 7])
    given = in_batch(tf.constant(SHARES)).log_expected_count_of(ids)
    np.testing.assert_allclose(given, in_batch().log_expected_count_of(ids), rtol=1e-5)
    # by hand: 1 - (1 - 0.2)^6
    assert np.exp(given[1]) == pytest.approx(1 - 0.8**6, rel=1e-5)


def test_small_probabilities_keep_their_precision():
    sampled = uniform_candidates(10, 0, 10_000_000)
    assert np.exp(sampled.log_expected_count[0]) == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize("sampler", [in_batch_candidates, mixed_candidates])
def test_batch_without_a_positive(sampler):
    bounds = (2, 10) if sampler is mixed_candidates else ()
    for positives, weights in ((tf.zeros([0], tf.int32), tf.zeros([0])), ([5], [0.0])):
        sampled = sampler(4, *bounds, tf.constant(positives, tf.int32), tf.constant(weights))
        assert 5 not in sampled.ids.numpy()[: 2 if sampler is mixed_candidates else None] or bounds
        assert np.all(np.isfinite(sampled.log_expected_count))


def test_log_uniform_equals_tensorflow():
    ranks = np.arange(50)
    _, expected, _ = tf.random.log_uniform_candidate_sampler(
        ranks[np.newaxis].astype(np.int64), num_true=50, num_sampled=7, unique=False, range_max=50
    )
    once = log_uniform_candidates(1, low=3, high=53).log_expected_count_of(tf.range(3, 53))
    np.testing.assert_allclose(7 * np.exp(once), expected[0], rtol=1e-5)
    seven = log_uniform_candidates(7, low=3, high=53).log_expected_count_of(tf.range(53))
    np.testing.assert_allclose(np.exp(seven[3:]), 1 - (1 - expected[0].numpy() / 7) ** 7, rtol=1e-5)
    assert np.all(np.exp(seven[:3]) < 1e-10)


def test_log_uniform_of_one_item():
    sampled = log_uniform_candidates(4, low=2, high=3)
    np.testing.assert_array_equal(sampled.ids, [2, 2, 2, 2])
    assert np.exp(sampled.log_expected_count[0]) == pytest.approx(1, rel=1e-5)


def test_popularity_table():
    table = popularity_table([9.0, 5.0, 16.0, 0.0, 1.0], low=2, power=0.5)
    np.testing.assert_allclose(table.probability, [0, 0, 0.8, 0, 0.2])
    assert table.cumulative[-1] == 1
    uniform = popularity_table([0.0, 0.0, 5.0, 0.0], low=2, power=0.0)
    np.testing.assert_allclose(uniform.probability, [0, 0, 0.5, 0.5])
    # an item with a share of 1e-10 keeps its interval
    rare = popularity_table([1.0] + [1e-10] * 1000, low=0)
    np.testing.assert_allclose(np.diff(rare.cumulative), rare.probability[1:], rtol=1e-4)


def test_bad_popularity_tables():
    with pytest.raises(
        ValueError, match=r"`power` should be a finite number of 0 or more. .*=-1.0"
    ):
        popularity_table([0.0, 1.0], low=1, power=-1.0)
    with pytest.raises(ValueError, match="`shares` should have one above 0 from index 2 on"):
        popularity_table([0.5, 0.5, 0.0], low=2)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 100])
def test_count_not_above_is_a_search(size):
    generator = np.random.default_rng(size)
    table = np.sort(generator.integers(0, 30, size)).astype(float)
    values = np.concatenate([table, generator.uniform(-1, 31, 50)])
    result = count_not_above(tf.constant(table), tf.constant(values))
    np.testing.assert_array_equal(result, np.searchsorted(table, values, side="right"))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_xla_and_seed(sampler):
    compiled = tf.function(lambda: sampler()[:3], jit_compile=True)
    assert all(np.all(np.isfinite(x.numpy().astype(float))) for x in compiled())
    draws = []
    for _ in range(2):
        tf.random.set_seed(3)
        draws.append(sampler().ids.numpy())
    np.testing.assert_array_equal(*draws)
