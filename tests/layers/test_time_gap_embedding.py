"""The time since the previous item, against plain Python."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.layers import TimeGapEmbedding

# Two rows of three sessions of up to three items; 0 is padding.
IDS = np.array([[[2, 3, 4], [5, 2, 0], [3, 0, 0]], [[4, 0, 0], [2, 2, 0], [0, 0, 0]]], np.int32)
START = 1_700_000_000  # beyond the integers that a float32 holds
TIMES = np.array(
    [
        [[0, 1, 31], [3631, 3631, 0], [90_031, 0, 0]],
        [[0, 0, 0], [400 * 86_400, 400 * 86_400 + 2, 0], [0, 0, 0]],
    ]
)
TIMES = np.where(IDS > 0, TIMES + START, 0)


def bucket(seconds, num_buckets):
    return 1 + min(int(math.log(max(seconds, 1)) / 0.301), num_buckets - 1)


def plain(ids, times, num_buckets):
    result = np.zeros(ids.shape, int)
    for row in range(len(ids)):
        before = None
        for place in np.ndindex(ids.shape[1:]):
            if ids[row][place]:
                now = times[row][place]
                if before is not None:
                    result[row][place] = bucket(now - before, num_buckets)
                before = now
    return result


@pytest.mark.parametrize("num_buckets", [64, 12, 1])
def test_against_plain_python(num_buckets):
    layer = TimeGapEmbedding(num_buckets, 4)
    got = np.array(layer(TIMES, IDS))
    table = np.array(layer.gap_table)
    np.testing.assert_array_equal(got, table[plain(IDS, TIMES, num_buckets)])


def test_by_hand():
    layer = TimeGapEmbedding(64, 1)
    layer.build()
    layer.set_weights([np.arange(65.0)[:, None]])
    # first item; 1 s; 30 s: log 30 / 0.301 = 11.3; 1 h: 27.2; 0 s; 1 day: 37.8
    assert np.array(layer(TIMES, IDS))[0, ..., 0].tolist() == [[0, 1, 12], [28, 1, 0], [38, 0, 0]]


def test_the_future_and_padding_change_nothing():
    layer = TimeGapEmbedding(64, 4)
    expected = np.array(layer(TIMES, IDS))
    later = TIMES.copy()
    later[:, 2] += 999_999
    np.testing.assert_array_equal(np.array(layer(later, IDS))[:, :2], expected[:, :2])
    wide = [(0, 0), (0, 2), (0, 3)]
    padded = np.array(layer(np.pad(TIMES, wide), np.pad(IDS, wide)))
    np.testing.assert_array_equal(padded[:, :3, :3], expected)
    np.testing.assert_array_equal(np.array(layer(TIMES[1:], IDS[1:])), expected[1:])


def test_harness(check_layer):
    check_layer(
        lambda: TimeGapEmbedding(12, 4),
        {"item_times": tf.constant(TIMES), "item_ids": tf.constant(IDS)},
    )


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`num_buckets` should be a positive integer. Rec.*=0"):
        TimeGapEmbedding(0, 4)
    with pytest.raises(ValueError, match=r"`dim` should be a positive integer. Received: .*=-1"):
        TimeGapEmbedding(4, -1)
    with pytest.raises(ValueError, match=r"`item_times` should have the shape .*\(3,\)"):
        TimeGapEmbedding(4, 4)(tf.zeros([3], tf.int64), tf.zeros([3], tf.int32))
