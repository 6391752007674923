"""Each rule against a loop in plain Python."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.rules import (
    NO_TIME,
    allow_only,
    category_cap,
    exclude,
    freshness_bonus,
    has_tags,
    maximal_marginal_relevance,
)

# Masks.


@pytest.mark.parametrize("width", [0, 1, 7])
def test_exclude_and_allow_only(width: int) -> None:
    rows = np.random.default_rng(width).integers(-1, 5, [6, width])
    excluded = exclude(tf.constant(rows, tf.int64), 5).numpy()
    is_listed = np.random.default_rng(9).random([6, width]) < 0.3
    is_listed |= rows >= 0
    is_listed[0], rows[0] = False, -1
    allowed = allow_only(tf.constant(rows), tf.constant(is_listed), 5).numpy()
    assert excluded.shape == allowed.shape == (6, 5)
    for b in range(1, 6):
        assert excluded[b].tolist() == [c not in rows[b] for c in range(5)]
        expected = [c in rows[b] or not is_listed[b].any() for c in range(5)]
        assert allowed[b].tolist() == expected
    assert allowed[0].all()


def test_lists_without_requests() -> None:
    nothing = tf.zeros([0, 3], tf.int32)
    assert exclude(nothing, 4).shape == (0, 4)
    assert allow_only(nothing, tf.zeros([0, 3], tf.bool), 4).shape == (0, 4)


def test_has_tags_takes_all_64_bits() -> None:
    tags = [0, 1, 6, 2**62, -(2**63), -1]
    masks = [0, 1, 2, 4 + 1, -(2**63), 2**62, -1]
    got = has_tags(tf.constant(tags, tf.int64), tf.constant(masks, tf.int64)).numpy()
    expected = [[mask == 0 or tag & mask != 0 for tag in tags] for mask in masks]
    assert got.tolist() == expected


# Freshness.


def test_freshness_bonus() -> None:
    times = [0, 1000, 990, 5000, -(2**62), 2**62, NO_TIME]
    strengths = [0.0, 2.0, -1.0, math.nan, math.inf, 1.0]
    now = [1000, 1000, 2000, 1000, 1000, 2**62]
    got = freshness_bonus(
        tf.constant(times, tf.int64), tf.constant(now, tf.int64), tf.constant(strengths), 50.0
    ).numpy()
    for b, strength in enumerate(strengths):
        for c, time in enumerate(times):
            expected = 0.0
            if time != NO_TIME and math.isfinite(strength):
                expected = strength * 0.5 ** (max(now[b] - time, 0) / 50)
            assert got[b, c] == pytest.approx(expected, rel=1e-6), (b, c)


# Caps.


def capped(categories: list[int], limit: int) -> list[bool]:
    seen: dict[int, int] = {}
    keep = []
    for category in categories:
        keep.append(category < 0 or limit <= 0 or seen.get(category, 0) < limit)
        seen[category] = seen.get(category, 0) + 1
    return keep


@pytest.mark.parametrize("length", [0, 1, 2, 30])
def test_category_cap(length: int) -> None:
    categories = np.random.default_rng(length).integers(-1, 4, [7, length])
    limits = [0, 1, 2, 3, -5, 100, 1]
    got = category_cap(tf.constant(categories, tf.int32), tf.constant(limits)).numpy()
    assert got.shape == (7, length)
    for row, limit in enumerate(limits):
        assert got[row].tolist() == capped(categories[row].tolist(), limit), row


def test_no_list_to_cap() -> None:
    assert category_cap(tf.zeros([0, 4], tf.int32), tf.zeros([0], tf.int32)).shape == (0, 4)


# Diversity.


def mmr(
    scores: np.ndarray, embeddings: np.ndarray, strength: float, picks: int, size: int
) -> list[int]:
    """The definition in float64."""
    size = min(size, len(scores))
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.where(norms > 0, norms, 1)
    inside = scores[:size]
    spread = (inside.max() - inside.min()) if size else 0
    relevance = (inside - inside.min()) / spread if spread > 0 else np.zeros(size)
    picked: list[int] = []
    while strength > 0 and len(picked) < min(picks, size):
        best, best_value = -1, -math.inf
        for i in range(size):
            if i in picked:
                continue
            alike = max((float(unit[i] @ unit[j]) for j in picked), default=0.0)
            value = (1 - strength) * relevance[i] - strength * alike
            if value > best_value + 1e-9:
                best, best_value = i, value
        picked.append(best)
    return picked + [i for i in range(len(scores)) if i not in picked]


def test_maximal_marginal_relevance() -> None:
    random = np.random.default_rng(5)
    scores = -np.sort(-random.normal(size=[8, 20]) * 30)
    embeddings = random.normal(size=[8, 20, 4])
    embeddings[:, 7] = 0  # cosine 0 to all
    strengths = [0.0, 0.1, 0.5, 0.9, 1.0, 0.3, 0.7, 0.5]
    picks = [5, 5, 20, 7, 10, 0, 100, 3]
    sizes = [20, 20, 20, 12, 20, 20, 9, 0]
    got = maximal_marginal_relevance(
        tf.constant(scores, tf.float32),
        tf.constant(embeddings, tf.float32),
        tf.constant(strengths),
        tf.constant(picks),
        tf.constant(sizes),
    ).numpy()
    for row in range(8):
        expected = mmr(scores[row], embeddings[row], strengths[row], picks[row], sizes[row])
        assert got[row].tolist() == expected, row
    changed = [row for row in range(8) if got[row].tolist() != list(range(20))]
    assert {1, 2, 3, 4, 6} <= set(changed)


@pytest.mark.parametrize(("strength", "like"), [(math.nan, 0.0), (-3.0, 0.0), (7.0, 1.0)])
def test_strengths_out_of_range(strength: float, like: float) -> None:
    random = np.random.default_rng(6)
    scores = tf.constant(-np.sort(-random.normal(size=[1, 9])), tf.float32)
    embeddings = tf.constant(random.normal(size=[1, 9, 3]), tf.float32)

    def order(value: float) -> list[int]:
        few = (tf.constant([5]), tf.constant([9]))
        return maximal_marginal_relevance(scores, embeddings, tf.constant([value]), *few).numpy()[0]

    assert list(order(strength)) == list(order(like))
    assert (list(order(like)) == list(range(9))) == (like == 0)


def test_equal_scores_and_equal_items_keep_their_order() -> None:
    order = maximal_marginal_relevance(
        tf.zeros([1, 4]),
        tf.ones([1, 4, 2]),
        tf.constant([0.5]),
        tf.constant([4]),
        tf.constant([4]),
    )
    assert order.numpy().tolist() == [[0, 1, 2, 3]]


def test_items_that_must_stay_behind_may_have_the_lowest_score() -> None:
    """Items that are not allowed have such scores, which do not affect the others."""
    lowest = np.finfo(np.float32).min
    order = maximal_marginal_relevance(
        tf.constant([[3.0, 2.9, 1.0, lowest]]),
        tf.constant([[[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.0, -1.0]]]),
        tf.constant([0.5]),
        tf.constant([4]),
        tf.constant([3]),
    )
    assert order.numpy().tolist() == [[0, 2, 1, 3]]


def test_nothing_to_reorder() -> None:
    none = tf.zeros([0], tf.int32)
    order = maximal_marginal_relevance(
        tf.zeros([0, 3]), tf.zeros([0, 3, 2]), tf.zeros([0]), none, none
    )
    assert order.shape == (0, 3)
