"""Retrieval and ranking tasks against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfsessionrec.layers import ItemEmbedding
from tfsessionrec.losses.next_session import next_session
from tfsessionrec.tasks import NextSessionRetrieval, SessionRanking

VOCABULARY = 12
ITEM_IDS = np.array(
    [
        [[2, 3, 4], [5, 6, 0], [7, 7, 8], [9, 0, 0]],
        [[10, 0, 0], [11, 1, 2], [3, 0, 0], [0, 0, 0]],
    ],
    np.int32,
)
LABELS = np.array(
    [
        [[1, 0, 1], [1, 1, 0], [1, 1, 0], [0, 0, 0]],
        [[1, 0, 0], [1, 1, 1], [1, 0, 0], [0, 0, 0]],
    ],
    np.float32,
)
# what the positions have to predict, read off by eye: index 1 is out of vocabulary, 7 counts once
PAIRS = [(0, 0, 5), (0, 0, 6), (0, 1, 7), (1, 0, 11), (1, 0, 2), (1, 1, 3)]


@pytest.fixture
def parts():
    tf.keras.utils.set_random_seed(0)
    items = ItemEmbedding(
        VOCABULARY, 4, embeddings_initializer=tf.keras.initializers.RandomNormal(stddev=0.5, seed=1)
    )
    items.build()
    queries = tf.random.stateless_normal([2, 3, 4], (1, 2))
    target = next_session(tf.constant(ITEM_IDS), tf.constant(LABELS), first_item_index=2)
    return queries, target, items


def oracle(queries, table, negatives, correction, temperature):
    """Mean over pairs of -log(exp(s_p) / (exp(s_p) + sum over negatives))."""
    losses = []
    for b, t, item in PAIRS:
        own = {i for bb, tt, i in PAIRS if (bb, tt) == (b, t)}

        def corrected(i, b=b, t=t):
            return queries[b, t] @ table[i] / temperature - correction[i]

        total = sum(np.exp(corrected(i)) for i in negatives if i not in own)
        losses.append(-np.log(np.exp(corrected(item)) / (np.exp(corrected(item)) + total)))
    return np.mean(losses)


@pytest.mark.parametrize("negatives", ["uniform", "in_batch", "mixed", "full"])
@pytest.mark.parametrize("temperature", [1.0, 0.2])
@pytest.mark.parametrize("static_shapes", [False, True])
def test_loss_equals_oracle(parts, negatives, temperature, static_shapes):
    queries, target, items = parts
    shares = np.linspace(0.01, 0.2, VOCABULARY).astype(np.float32)
    task = NextSessionRetrieval(
        negatives, num_negatives=5, temperature=temperature, candidate_sampling_probability=shares
    )
    drawn = {}
    sample = task._sample

    def spy(*args):
        drawn["sample"] = sample(*args)
        return drawn["sample"]

    task._sample = spy
    loss = task(queries, target, items, static_shapes=static_shapes)
    if negatives == "full":
        chosen, correction = range(2, VOCABULARY), np.zeros(VOCABULARY)
    else:
        chosen = set(drawn["sample"].ids.numpy()[drawn["sample"].mask.numpy()])
        uniform, popular = {"uniform": (5, 0), "in_batch": (0, 5), "mixed": (3, 2)}[negatives]
        # the probability of being drawn at least once, by its definition
        correction = np.log(1 - (1 - 1 / 10) ** uniform * (1 - shares) ** popular)
    expected = oracle(
        queries.numpy(), items.candidate_table().numpy(), chosen, correction, temperature
    )
    assert float(loss) == pytest.approx(expected, rel=2e-5)
    assert float(task.loss_mean.result()) == pytest.approx(expected, rel=2e-5)


def test_correction_lowers_what_is_drawn_often(parts):
    # the logQ sign: against a popular negative the loss must be smaller than uncorrected
    _queries, _target, _items = parts
    task = NextSessionRetrieval("in_batch", 5)
    sampled = task._sample(tf.constant([2, 2, 2, 3]), tf.ones([4]), VOCABULARY)
    popular, rare = sampled.log_expected_count_of(tf.constant([2, 3])).numpy()
    assert popular > rare


def test_own_positives_are_in_nobodys_denominator(parts):
    queries, _target, items = parts
    task = NextSessionRetrieval("full")
    first = queries[:1, :1]
    one = next_session(tf.constant([[[2], [5]]]))
    two = next_session(tf.constant([[[2, 0], [5, 6]]]))
    table = items.candidate_table().numpy()

    def pair_loss(excluded):
        s = table[2:] @ first.numpy()[0, 0]
        kept = [i for i in range(2, VOCABULARY) if i not in excluded]
        return np.log(np.exp(s[3]) + sum(np.exp(s[i - 2]) for i in kept)) - s[3]

    assert float(task(first, one, items)) == pytest.approx(pair_loss({5}), rel=1e-5)
    both = task.loss_sum(first, two, items)
    other = table[6] @ first.numpy()[0, 0]
    rest = [i for i in range(2, VOCABULARY) if i not in (5, 6)]
    z = sum(np.exp(table[i] @ first.numpy()[0, 0]) for i in rest)
    expected = pair_loss({5, 6}) + np.log(np.exp(other) + z) - other
    assert float(both.total) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("negatives", ["uniform", "in_batch", "mixed", "full"])
@pytest.mark.parametrize("static_shapes", [False, True])
def test_batch_without_a_positive(parts, negatives, static_shapes):
    queries, _, items = parts
    target = next_session(tf.constant(ITEM_IDS), tf.zeros_like(LABELS))
    task = NextSessionRetrieval(negatives, num_negatives=5)
    with tf.GradientTape() as tape:
        tape.watch(queries)
        loss = task(queries, target, items, static_shapes=static_shapes)
    assert float(loss) == 0
    for gradient in tape.gradient(loss, [queries, items.item_table]):
        assert np.all(tf.convert_to_tensor(gradient).numpy() == 0)


def test_gradient_of_sampled_negatives_names_rows(parts):
    # a dense gradient would make the step grow with the catalogue
    queries, target, items = parts
    with tf.GradientTape() as tape:
        loss = NextSessionRetrieval("uniform", 3)(queries, target, items)
    gradient = tape.gradient(loss, items.item_table)
    assert isinstance(gradient, tf.IndexedSlices)
    assert len(gradient.indices) <= 3 + len(PAIRS)


def test_is_a_tfrs_task_with_its_metrics(parts):
    queries, target, items = parts
    table = items.candidate_table()
    metric = tfrs.metrics.FactorizedTopK(
        tfrs.layers.factorized_top_k.BruteForce(k=3).index(table), ks=(3,)
    )
    task = NextSessionRetrieval("full", metrics=metric)
    assert isinstance(task, tfrs.tasks.Retrieval)
    task(queries, target, items)
    hits = 0
    for b, t, item in PAIRS:
        scores = table.numpy() @ queries.numpy()[b, t]
        hits += (scores > scores[item]).sum() < 3
    assert float(metric.result()[0]) == pytest.approx(hits / len(PAIRS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": "hard"}, "`negatives` should be one of uniform, in_batch, mixed, full"),
        ({"num_negatives": 0}, "`num_negatives` should be a positive integer. .*=0"),
        ({"temperature": 0.0}, "`temperature` should be positive. .*=0.0"),
        ({"candidate_sampling_probability": [-1.0]}, "vector of finite shares"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        NextSessionRetrieval(**options)


def test_probability_of_another_vocabulary(parts):
    task = NextSessionRetrieval("in_batch", candidate_sampling_probability=[0.5, 0.5])
    with pytest.raises(ValueError, match=r"should have 12 entries.*Received: 2"):
        task(*parts)


@pytest.mark.parametrize("loss", ["pairwise", "bce"])
def test_ranking_equals_oracle(parts, loss):
    _, target, _ = parts
    scores = np.random.default_rng(0).normal(size=target.item_ids.shape).astype(np.float32)
    positive, shown = target.positive.numpy(), target.shown.numpy()
    task = SessionRanking(loss)
    result = task(target.positive, tf.constant(scores), sample_weight=target.shown)
    pairs, terms = [], []
    for b, t in np.ndindex(2, 3):
        for i in np.flatnonzero(shown[b, t]):
            s, y = scores[b, t, i], positive[b, t, i]
            terms.append(np.log1p(np.exp(s)) - y * s)
            for j in np.flatnonzero(shown[b, t]):
                if y and not positive[b, t, j]:
                    pairs.append(s - scores[b, t, j])
    expected = np.mean(np.log1p(np.exp(-np.array(pairs)))) if loss == "pairwise" else np.mean(terms)
    assert len(pairs) == 1  # 7 against 8, by eye
    assert float(result) == pytest.approx(expected, rel=1e-5)
    assert float(task.auc.result()) == pytest.approx(np.mean(np.array(pairs) > 0))
    assert float(task.loss_mean.result()) == pytest.approx(expected, rel=1e-5)


def test_ranking_without_negatives():
    task = SessionRanking()
    scores = tf.Variable([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        loss = task(tf.ones([1, 2]), scores + 0.0, sample_weight=tf.ones([1, 2], tf.bool))
    assert float(loss) == 0
    assert np.all(tape.gradient(loss, scores).numpy() == 0)
    with pytest.raises(ValueError, match="`loss` should be one of pairwise, bce"):
        SessionRanking("hinge")
