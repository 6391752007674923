"""Retrieval and ranking tasks against NumPy."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfsessionrec.layers import ItemEmbedding, MeanISE, SASRecSSE
from tfsessionrec.losses.next_session import next_session
from tfsessionrec.models import SessionRec, SessionRecBackbone
from tfsessionrec.scoring import Queries
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


NEGATIVES = ["uniform", "in_batch", "mixed", "log_uniform", "popularity", "full"]
SHARES = np.linspace(0.01, 0.2, VOCABULARY).astype(np.float32)


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


def spied(task):
    """The sample that the task will draw, once it has drawn it."""
    drawn, sample = {}, task.sampler

    def spy(*args):
        drawn["sample"] = sample and sample(*args)
        return drawn["sample"]

    task.sampler = sample and spy
    return drawn


def count_of(negatives):
    """The probability of each item to be drawn in five draws at least once, by its definition."""
    popular = SHARES / SHARES[2:].sum() if negatives == "popularity" else SHARES
    rank = np.maximum(np.arange(VOCABULARY) - 2.0, 0)
    zipf = np.log((rank + 2) / (rank + 1)) / np.log(11)
    draws = {
        "uniform": (5, 0, 0),
        "in_batch": (0, 5, 0),
        "mixed": (3, 2, 0),
        "popularity": (0, 5, 0),
        "log_uniform": (0, 0, 5),
    }[negatives]
    missed = [(1 - p) ** n for p, n in zip((1 / 10, popular, zipf), draws)]
    return 1 - missed[0] * missed[1] * missed[2]


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("temperature", [1.0, 0.2])
@pytest.mark.parametrize("static_shapes", [False, True])
def test_loss_equals_oracle(parts, negatives, temperature, static_shapes):
    queries, target, items = parts
    task = NextSessionRetrieval(
        negatives, num_negatives=5, temperature=temperature, candidate_sampling_probability=SHARES
    )
    drawn = spied(task)
    loss = task(queries, target, items, static_shapes=static_shapes)
    if negatives == "full":
        chosen, correction = range(2, VOCABULARY), np.zeros(VOCABULARY)
    else:
        chosen = set(drawn["sample"].ids.numpy()[drawn["sample"].mask.numpy()])
        correction = np.log(count_of(negatives))
    expected = oracle(
        queries.numpy(), items.candidate_table().numpy(), chosen, correction, temperature
    )
    assert float(loss) == pytest.approx(expected, rel=2e-5)
    assert float(task.loss_mean.result()) == pytest.approx(expected, rel=2e-5)


OBJECTIVES = [(negatives, "softmax") for negatives in NEGATIVES] + [
    (negatives, loss) for loss in ("gbce", "bpr_max") for negatives in NEGATIVES[:-1]
]


# What is drawn is the same for all: under XLA one kind of sample a loss is enough for most runs.
COMPILED = [
    pytest.param(
        negatives, loss, True, marks=[] if negatives in ("uniform", "full") else [pytest.mark.slow]
    )
    for negatives, loss in OBJECTIVES
]


@pytest.mark.parametrize(
    ("negatives", "loss", "jit_compile"), [*((*one, False) for one in OBJECTIVES), *COMPILED]
)
def test_interests_equal_one_query_an_item(parts, negatives, loss, jit_compile):
    """Scores of interests are a plain query's where each item has a dimension of its own.

    Such a query holds the best score of each item: the naive formula, and its gradient by autodiff.
    """
    _, target, items = parts
    table = items.candidate_table()
    queries = tf.random.stateless_normal([2, 3, 4, 4], (5, 6))
    task = NextSessionRetrieval(
        negatives, 5, temperature=0.5, candidate_sampling_probability=SHARES, loss=loss
    )
    if negatives != "full":
        pairs = tf.constant([item for _, _, item in PAIRS])
        sampled = task.sampler(pairs, tf.ones([len(PAIRS)], tf.bool), VOCABULARY)
        task.sampler = lambda *_: sampled

    class Dimensions:
        vocabulary_size = VOCABULARY

        def candidates(self, item_ids):
            return tf.one_hot(item_ids, VOCABULARY)

        def candidate_table(self):
            return tf.eye(VOCABULARY)

    def run(reduce, queries):
        with tf.GradientTape() as tape:
            tape.watch(queries)
            if reduce is None:
                vectors = Queries(tf.reshape(queries, [6, 4, 4]))
                result = task(vectors, target, items, static_shapes=jit_compile)
            else:
                best = reduce(tf.einsum("btnd,cd->btnc", queries, table), axis=2)
                result = task(best, target, Dimensions())
        return result, tape.gradient(result, queries)

    interests = tf.function(lambda x: run(None, x), jit_compile=jit_compile)(queries)
    expected = run(tf.reduce_max, queries)
    mean = run(tf.reduce_mean, queries)
    assert np.abs(expected[1]).max() > 1e-2
    for one, other in zip(interests, expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert abs(float(mean[0]) - float(interests[0])) > 1e-2


def test_interests_and_factorized_metrics_do_not_go_together(parts):
    queries, target, items = parts
    metric = tfrs.metrics.FactorizedTopK(
        tfrs.layers.factorized_top_k.BruteForce(k=3).index(items.candidate_table()), ks=(3,)
    )
    task = NextSessionRetrieval("full", metrics=metric)
    with pytest.raises(
        ValueError, match=r"`metrics` should be None for queries of several.*4, 2, 4"
    ):
        task(Queries(tf.reshape(tf.stack([queries, -queries], 2), [6, 2, 4])), target, items)


def gbce_of_pair(positive, negatives, counts, rate, beta):
    """-(beta log sigmoid(s_p) + sum log(1 - sigmoid(s_n))) / (1 + N), counts relative to rate."""
    s, n = positive - np.log(counts[0] / rate), negatives - np.log(counts[1] / rate)
    return (beta * np.log1p(np.exp(-s)) + np.sum(np.log1p(np.exp(n)))) / (1 + len(n))


def bpr_max_of_pair(positive, negatives, counts, strength):
    shares = np.exp(negatives) / counts[1]
    shares = shares / shares.sum()
    wins = np.sum(shares / (1 + np.exp(negatives - positive)))
    return -np.log(wins) + strength * np.sum(shares * negatives**2)


@pytest.mark.parametrize("negatives", NEGATIVES[:-1])
@pytest.mark.parametrize("loss", ["gbce", "bpr_max"])
@pytest.mark.parametrize("static_shapes", [False, True])
def test_other_losses_equal_oracle(parts, negatives, loss, static_shapes):
    queries, target, items = parts
    task = NextSessionRetrieval(
        negatives,
        5,
        temperature=0.5,
        candidate_sampling_probability=SHARES,
        loss=loss,
        calibration=0.6,
        score_regularization=0.3,
    )
    drawn = spied(task)
    result = task(queries, target, items, static_shapes=static_shapes)
    chosen = np.unique(drawn["sample"].ids)
    rate, counts = len(chosen) / 10, count_of(negatives)
    if negatives == "uniform":  # what is the same for all needs no correction
        counts = np.full(VOCABULARY, rate)
    terms = []
    for b, t, item in PAIRS:
        scores = items.candidate_table().numpy() @ queries.numpy()[b, t] / 0.5
        own = [i for bb, tt, i in PAIRS if (bb, tt) == (b, t)]
        visible = [i for i in chosen if i not in own]
        pair = scores[item], scores[visible], (counts[item], counts[visible])
        if loss == "gbce":
            terms.append(gbce_of_pair(*pair, rate, 1 - 0.6 * (1 - rate)))
        else:
            terms.append(bpr_max_of_pair(*pair, 0.3) if visible else 0.0)
    assert float(result) == pytest.approx(np.mean(terms), rel=2e-5)


@pytest.mark.parametrize("loss", ["softmax", "gbce", "bpr_max"])
def test_static_shapes_under_xla_equal_graph(parts, loss):
    queries, target, items = parts
    task = NextSessionRetrieval(
        "popularity", 5, candidate_sampling_probability=SHARES, loss=loss, popularity_power=0.5
    )
    sampled = task.sampler(None, None, VOCABULARY)
    task.sampler = lambda *_: sampled

    def run(queries, static_shapes):
        with tf.GradientTape() as tape:
            tape.watch(queries)
            loss = task.loss_sum(queries, target, items, static_shapes)
            mean = loss.mean
        return *loss, tape.gradient(mean, queries)

    graph = tf.function(run)(queries, False)
    compiled = tf.function(run, jit_compile=True)(queries, True)
    for one, other in zip(graph, compiled):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert np.any(graph[2].numpy() != 0)


@pytest.mark.parametrize(
    ("loss", "negatives"), [("gbce", "log_uniform"), ("bpr_max", "popularity")]
)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_trains_and_saves_inside_a_model(loss, negatives, jit_compile, tmp_path):
    tf.keras.utils.set_random_seed(0)
    task = NextSessionRetrieval(
        negatives, 5, candidate_sampling_probability=SHARES, loss=loss, name="retrieval"
    )
    backbone = SessionRecBackbone(ItemEmbedding(VOCABULARY, 4), MeanISE(), SASRecSSE(1, 1))
    model = SessionRec(backbone, task, SessionRanking("listwise"))
    model.compile("adam", jit_compile=jit_compile)
    data = tf.data.Dataset.from_tensors({"item_ids": ITEM_IDS, "labels": LABELS})
    history = model.fit(data, epochs=3, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))
    assert history["retrieval_loss"][0] > 0
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    assert loaded.retrieval_task.get_config() == task.get_config()
    assert loaded.ranking_task.loss_name == "listwise"
    np.testing.assert_array_equal(loaded.candidate_embeddings(), model.candidate_embeddings())
    model.save_weights(tmp_path / "checkpoint")


def test_config_has_every_argument():
    options = {
        "negatives": "popularity",
        "num_negatives": 7,
        "temperature": 0.5,
        "candidate_sampling_probability": [0.0, 0.0, 0.25, 0.75],
        "first_item_index": 2,
        "loss": "gbce",
        "calibration": 0.5,
        "score_regularization": 0.25,
        "popularity_power": 0.75,
        "name": "retrieval",
    }
    assert set(options) | {"metrics"} == set(inspect.signature(NextSessionRetrieval).parameters)
    config = NextSessionRetrieval(**options).get_config()
    assert config == options
    assert NextSessionRetrieval.from_config(config).get_config() == options


def test_correction_lowers_what_is_drawn_often(parts):
    # the logQ sign: against a popular negative the loss must be smaller than uncorrected
    _queries, _target, _items = parts
    task = NextSessionRetrieval("in_batch", 5)
    sampled = task.sampler(tf.constant([2, 2, 2, 3]), tf.ones([4]), VOCABULARY)
    popular, rare = sampled.log_expected_count_of(tf.constant([2, 3])).numpy()
    assert popular > rare


def test_other_positives_are_in_no_denominator(parts):
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


@pytest.mark.parametrize(("negatives", "loss"), OBJECTIVES)
@pytest.mark.parametrize("static_shapes", [False, True])
def test_batch_without_a_positive(parts, negatives, loss, static_shapes):
    queries, _, items = parts
    target = next_session(tf.constant(ITEM_IDS), tf.zeros_like(LABELS))
    shares = SHARES if negatives == "popularity" else None
    task = NextSessionRetrieval(negatives, 5, candidate_sampling_probability=shares, loss=loss)
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
    assert isinstance(task, tfrs.tasks.Task)
    task(queries, target, items)
    hits = 0
    for b, t, item in PAIRS:
        scores = table.numpy() @ queries.numpy()[b, t]
        hits += (scores > scores[item]).sum() < 3
    assert float(metric.result()[0]) == pytest.approx(hits / len(PAIRS))


ROWS = {
    "plain": {},
    "weights": {"sample_weight": tf.constant([1.0, 0.0, 2.0, 1.0])},
    "probability": {"candidate_sampling_probability": tf.constant([0.5, 0.1, 0.3, 0.1])},
    "ids": {"candidate_ids": tf.constant([7, 8, 7, 9])},
}


@pytest.mark.parametrize("case", ROWS)
def test_called_as_tfrs_retrieval_it_gives_the_mean_of_its_sum(case):
    generator = np.random.default_rng(0)
    queries, candidates = (generator.normal(size=(4, 3)).astype(np.float32) for _ in range(2))
    given = ROWS[case]
    theirs = tfrs.tasks.Retrieval(temperature=0.5, remove_accidental_hits=case == "ids")
    task = NextSessionRetrieval(temperature=0.5)
    weight = float(tf.reduce_sum(given.get("sample_weight", tf.ones(4))))
    expected = float(theirs(queries, candidates, **given)) / weight
    assert float(task(queries, candidates, **given)) == pytest.approx(expected, rel=1e-5)
    assert float(task.loss_mean.result()) == pytest.approx(expected, rel=1e-5)
    compiled = tf.function(lambda: task(queries, candidates, **given), jit_compile=True)
    assert float(compiled()) == pytest.approx(expected, rel=1e-5)


def test_called_as_tfrs_retrieval_it_updates_metrics():
    def make(kind):
        candidates = tf.data.Dataset.from_tensor_slices(tf.eye(4)).batch(2)
        return kind(metrics=tfrs.metrics.FactorizedTopK(candidates, ks=(1, 2)))

    queries = tf.eye(4) + 0.3 * tf.roll(tf.eye(4), 1, axis=0)
    wrong = tf.gather(tf.eye(4), [0, 2, 2, 3])
    results = []
    for task in map(make, (tfrs.tasks.Retrieval, NextSessionRetrieval)):
        task(queries, wrong, compute_metrics=True)
        top = (task.factorized_metrics or [None])[0]
        results.append([float(metric.result()) for metric in top.metrics])
        task(queries, tf.eye(4), compute_metrics=False)
        assert [float(metric.result()) for metric in top.metrics] == results[-1]
    assert results[0] == results[1]
    assert results[0][0] < 1


def test_the_two_calls_do_not_mix(parts):
    _, target, items = parts
    task = NextSessionRetrieval()
    with pytest.raises(ValueError, match=r"`target` should be a `NextSession` with `items`"):
        task(tf.eye(2), tf.eye(2), items)
    with pytest.raises(ValueError, match=r"`target` should be a `NextSession` with `items`"):
        task(tf.eye(2), target)
    with pytest.raises(ValueError, match=r"`sample_weight`, .* should be None with"):
        task(tf.eye(2), target, items, sample_weight=tf.ones(2))
    with pytest.raises(ValueError, match=r"`target` should be a number tensor \[B, D\]"):
        task(tf.eye(2), tf.eye(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": "hard"}, "`negatives` should be one of uniform, in_batch, mixed, log_uni"),
        ({"num_negatives": 0}, "`num_negatives` should be a positive integer. .*=0"),
        ({"temperature": 0.0}, "`temperature` should be positive. .*=0.0"),
        ({"candidate_sampling_probability": [-1.0]}, "vector of finite shares"),
        ({"loss": "hinge"}, "`loss` should be one of softmax, gbce, bpr_max. .*'hinge'"),
        ({"loss": "gbce", "negatives": "full"}, "`loss` should be softmax where `negatives` is"),
        ({"loss": "bpr_max", "negatives": "full"}, "are losses over a sample. .*'bpr_max'"),
        ({"negatives": "popularity"}, "`candidate_sampling_probability` should be given where"),
        ({"calibration": 1.5}, "`calibration` should be from 0 to 1. .*=1.5"),
        ({"score_regularization": -1.0}, "`score_regularization` should not be negative. .*=-1.0"),
        (
            {"popularity_power": -1.0},
            "`popularity_power` should be a finite number of 0 or more. .*=-1.0",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        NextSessionRetrieval(**options)


def test_probability_of_another_vocabulary(parts):
    task = NextSessionRetrieval("in_batch", candidate_sampling_probability=[0.5, 0.5])
    with pytest.raises(ValueError, match=r"should have 12 entries.*Received: 2"):
        task(*parts)


@pytest.mark.parametrize("loss", ["pairwise", "bce", "listwise"])
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
    # one positive against one negative: pairwise and list-wise agree
    expected = np.mean(terms) if loss == "bce" else np.mean(np.log1p(np.exp(-np.array(pairs))))
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
    with pytest.raises(ValueError, match="`loss` should be one of pairwise, bce, listwise"):
        SessionRanking("hinge")
