"""A model whose candidates know the time: training, evaluation, and what each must equal."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec.layers.terms.trend_term import TrendTerm
from tfsessionrec.losses.next_session import next_session
from tfsessionrec.scoring import Queries

VOCABULARY, DIM = 9, 4
BEFORE = [row * 5 + session for row in range(6) for session in range(4)]  # all but the last
TREND = {
    "half_lives": [50],
    "age_half_lives": [200],
    "follow_half_lives": [80],
    "follow_items": 2,
    "refresh": 5,
}


def batch(seed: int = 0) -> dict[str, tf.Tensor]:
    """Six visitors of up to five sessions of one item, with their times."""
    random = np.random.default_rng(seed)
    items = random.integers(2, VOCABULARY, (6, 5, 1))
    items[np.arange(5) >= random.integers(2, 6, 6)[:, None]] = 0
    times = np.sort(random.integers(0, 1000, (6, 5)), axis=1)
    return {
        "item_ids": tf.constant(items, tf.int32),
        "session_times": tf.constant(times),
        "request_times": tf.constant(times),
    }


def make(negatives: str = "full", **options) -> sr.models.SessionRec:
    tf.keras.utils.set_random_seed(3)
    backbone = sr.models.SessionRecBackbone(
        sr.layers.ItemEmbedding(VOCABULARY, DIM),
        sr.layers.MeanISE(),
        sr.layers.GRUSSE(1),
        head=options.pop("head", None),
        interactions=sr.layers.InteractionEmbedding(interaction_embedding=False),
    )
    task = sr.tasks.NextSessionRetrieval(negatives, num_negatives=6, **options)
    model = sr.models.SessionRec(backbone, task, trend=sr.layers.TrendFeatures(VOCABULARY, **TREND))
    random = np.random.default_rng(5)
    model.build()
    shape = model.trend.gate.kernel.shape
    model.trend.gate.set_weights([random.normal(size=shape), random.normal(size=shape[1])])
    model.trend.set_events(
        random.integers(0, VOCABULARY, 80),
        np.sort(random.integers(0, 1000, 80)),
        random.integers(0, 20, 80),
    )
    return model


def scores(model: sr.models.SessionRec, features: dict[str, tf.Tensor]) -> tf.Tensor:
    """[B, S, V] from the parts: embeddings, gates, and features of each request by itself."""
    queries = model(features)
    table = model.candidate_embeddings()
    dots = tf.einsum("bsd,vd->bsv", queries, table)
    rows = tf.reshape(queries, [-1, DIM])
    newest = features["item_ids"].numpy()[..., 0]
    values = model.trend.features(
        tf.reshape(features["request_times"], [-1]),
        np.stack([newest.ravel(), np.pad(newest, [(0, 0), (1, 0)])[:, :-1].ravel()], axis=1),
        tf.range(VOCABULARY),
    )
    terms = tf.einsum("rf,rfv->rv", model.trend.gate(rows), values)
    return dots + tf.reshape(terms, tf.shape(dots))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_full_softmax_sees_the_terms(temperature):
    """Loss and gradients equal those of the plain softmax over all scores."""
    model, features = make("full", temperature=temperature), batch()
    with tf.GradientTape() as tape:
        loss = model.compute_loss(features)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    target = next_session(features["item_ids"], first_item_index=2)
    with tf.GradientTape() as tape:
        logits = scores(model, features)[:, :-1, 2:] / temperature
        labels = tf.maximum(target.item_ids[..., 0] - 2, 0)
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        wanted = tf.reduce_mean(tf.boolean_mask(each, target.positive[..., 0]))
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    for variable, one, other in zip(
        variables, gradients, tape.gradient(wanted, variables), strict=True
    ):
        np.testing.assert_allclose(
            tf.convert_to_tensor(one), tf.convert_to_tensor(other), atol=1e-5, err_msg=variable.name
        )
    assert np.abs(gradients[-1]).max() > 1e-3  # of the gates


class Known(NamedTuple):
    """A term of given features [R, F, C]."""

    gates: tf.Tensor
    known: tf.Tensor

    def features(self, candidate_ids):
        return tf.gather(self.known, candidate_ids, axis=2)

    def gather(self, rows):
        return Known(tf.gather(self.gates, rows), tf.gather(self.known, rows))


def test_small_blocks_give_the_same():
    from tfsessionrec.losses import catalogue_softmax_loss

    random = np.random.default_rng(0)
    queries, table = random.normal(size=(7, 4)), random.normal(size=(5, 4))
    gates, features = random.normal(size=(7, 3)), random.normal(size=(7, 3, 5))
    features = tf.constant(features, tf.float32)
    positives = tf.constant(random.integers(0, 5, (7, 1)))

    def loss(**sizes):
        given = [tf.Variable(part, dtype=tf.float32) for part in (queries, table, gates)]
        with tf.GradientTape() as tape:
            known = Queries(given[0][:, tf.newaxis], (Known(given[2] + 0, features),))
            value = catalogue_softmax_loss(known, given[1], positives, **sizes).total
        return value, *tape.gradient(value, given)

    for one, other in zip(loss(), loss(block_elements=40, least_queries=1), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", ["softmax", "gbce", "bpr_max"])
@pytest.mark.parametrize("negatives", ["uniform", "mixed", "in_batch"])
def test_sampled_losses_see_the_terms(negatives, loss, monkeypatch):
    """Scores with terms equal scores of embeddings that hold the terms: one request, one time."""
    model, features = make(negatives, loss=loss), batch()
    # All at one moment, after one item: then the terms are the candidates' own.
    same = {**features, "request_times": tf.fill([6, 5], tf.constant(700, tf.int64))}
    same["item_ids"] = tf.where(features["item_ids"] > 0, 4, 0)
    gates = tf.zeros([1, DIM])
    model.trend.gate.kernel.assign(tf.zeros_like(model.trend.gate.kernel))
    values = model.trend.features([700], [[4, 4]], tf.range(VOCABULARY))
    term = tf.einsum("rf,rfv->v", model.trend.gate(gates), values)

    class WithTerm:
        vocabulary_size = VOCABULARY

        def candidates(self, ids):
            own = model.backbone.items.candidates(ids)
            return tf.concat([own, tf.gather(term, ids)[..., tf.newaxis]], axis=-1)

    queries = model(same)[:, :-1]
    target = next_session(features["item_ids"], first_item_index=2)
    every = model.queries(same, every=True)
    (trend,) = every.terms
    trend = dataclasses.replace(trend, last_item_ids=tf.fill(tf.shape(trend.last_item_ids), 4))
    known = Queries(every.embeddings, (trend,)).gather(BEFORE)
    tf.keras.utils.set_random_seed(1)
    found = model.retrieval_task(known, target, model.backbone.items)
    tf.keras.utils.set_random_seed(1)
    longer = tf.concat([queries, tf.ones_like(queries[..., :1])], axis=-1)
    wanted = model.retrieval_task(longer, target, WithTerm())
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    tf.keras.utils.set_random_seed(1)
    without = model.retrieval_task(queries, target, model.backbone.items)
    assert abs(float(found - without)) > 1e-3


def test_static_shapes_agree():
    model, features = make("full"), batch()
    queries = model.queries(features, every=True).gather(BEFORE)
    (term,) = queries.terms
    target = next_session(features["item_ids"], first_item_index=2)
    losses = [
        model.retrieval_task(
            queries._replace(terms=(dataclasses.replace(term, static_shapes=static),)),
            target,
            model.backbone.items,
            static_shapes=static,
        )
        for static in (False, True)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize("block_size", [2**22, 16])
def test_evaluation_equals_sorting_all_scores(block_size):
    model, features = make(), batch()
    report = sr.evaluation.evaluate(model, [features], k=3, block_size=block_size)
    every, hits = scores(model, features).numpy(), []
    items = features["item_ids"].numpy()[..., 0]
    for row, session in zip(*(items[:, 1:] > 0).nonzero(), strict=True):
        target, own = items[row, session + 1], every[row, session]
        hits.append((own[2:] >= own[target]).sum() <= 3)
    assert report["recall@3"] == pytest.approx(np.mean(hits))
    model.trend.set_events([], [], [])
    without = sr.evaluation.evaluate(model, [features], k=7)["mrr@7"]
    assert without != sr.evaluation.evaluate(make(), [features], k=7)["mrr@7"]


def test_evaluation_of_held_out_sessions():
    """With `target_ids` the request is the one after the last session of the history."""
    model, features = make(), batch()
    lengths = (features["item_ids"].numpy()[..., 0] > 0).sum(axis=1)
    every = scores(model, features).numpy()[np.arange(6), lengths - 1]
    targets = np.random.default_rng(1).integers(2, VOCABULARY, (6, 1))
    report = sr.evaluation.evaluate(model, [{**features, "target_ids": targets}], k=2)
    own = np.take_along_axis(every, targets, axis=1)
    assert report["recall@2"] == pytest.approx(((every[:, 2:] >= own).sum(axis=1) <= 2).mean())


def test_several_interests_and_a_trend():
    model, features = make(head=sr.layers.MultiInterestHead(2)), batch()
    assert np.isfinite(model.compute_loss(features))
    sr.evaluation.evaluate(model, [features], k=3)


@pytest.mark.slow
def test_it_learns_what_is_clicked_now():
    """Items have their hour: what was clicked last tells the next click, and nothing else does."""
    random = np.random.default_rng(0)
    times = np.arange(3000) * 10
    items = 2 + (times // 600 * 7 + random.integers(0, 2, 3000)) % 40
    model = sr.models.build(
        "gru4rec", vocabulary_size=42, embedding_dim=8, trend={"half_lives": [120], "refresh": 10}
    )
    model.trend.set_events(items, times)
    rows = np.stack([items[0::2], items[1::2]], axis=1)[..., None]
    asked = np.stack([times[0::2], times[1::2]], axis=1)
    fit, held = slice(0, 1200), slice(1200, None)
    data = tf.data.Dataset.from_tensor_slices(
        {"item_ids": rows[fit].astype("int32"), "request_times": asked[fit]}
    )
    model.compile(tf.keras.optimizers.Adam(0.01))
    model.fit(data.batch(100), epochs=8, verbose=0)
    later = {"item_ids": rows[held], "request_times": asked[held]}
    assert sr.evaluation.evaluate(model, [later], k=2)["recall@2"] > 0.7
    model.trend.set_events([], [])
    assert sr.evaluation.evaluate(model, [later], k=2)["recall@2"] < 0.5


def test_save_and_load(tmp_path):
    model, features = make(), batch()
    log = np.random.default_rng(5)
    copy = sr.models.SessionRec.from_config(model.get_config())
    copy.build()
    copy.set_weights(model.get_weights())
    events = log.integers(0, VOCABULARY, 50), np.arange(50) * 20, np.arange(50) // 3
    for one in (model, copy):
        one.trend.set_events(*events)
    (one,), (other,) = (each.queries(features, every=True).terms for each in (model, copy))
    assert isinstance(one, TrendTerm)
    np.testing.assert_array_equal(one(tf.range(9)), other(tf.range(9)))


def test_request_times_are_needed():
    model, features = make(), batch()
    features.pop("request_times")
    with pytest.raises(ValueError, match="should have `request_times`"):
        model.compute_loss(features)


@pytest.mark.parametrize("head", [None, 2])
def test_queries_hold_embeddings_and_the_trend(head):
    """Eager and as a graph: one a session, and one a row after its whole history."""
    model = make(head=None if head is None else sr.layers.MultiInterestHead(head))
    features = batch()
    ids = tf.range(VOCABULARY)
    table = model.candidate_embeddings()
    every = model.queries(features, every=True)
    assert every.embeddings.shape == (30, head or 1, DIM)
    assert every.num_features == model.trend.num_features
    if head is None:
        real = tf.reshape(features["item_ids"], [-1]) > 0
        wanted = tf.reshape(scores(model, features), [30, VOCABULARY])[real]
        np.testing.assert_allclose(
            every.select(real).score(table, ids), wanted, rtol=1e-5, atol=1e-5
        )
    graph = tf.function(model.queries)
    traced = graph(features, every=True)
    np.testing.assert_allclose(
        traced.score(table, ids), every.score(table, ids), rtol=1e-5, atol=1e-5
    )
    lengths = (features["item_ids"].numpy()[..., 0] > 0).sum(axis=1)
    last = every.gather(np.arange(6) * 5 + lengths - 1).score(table, ids)
    for found in (model.queries(features), graph(features)):
        np.testing.assert_allclose(found.score(table, ids), last, rtol=1e-5, atol=1e-5)
