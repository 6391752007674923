"""Queries and their terms against NumPy; models behind one interface."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import scoring
from tfsessionrec.query_model import QueryModel, as_query_model
from tfsessionrec.scoring import Queries, plain_queries

REQUESTS, DIM, VOCABULARY, FEATURES = 5, 4, 9, 2
RANDOM = np.random.default_rng(0)
TABLE = RANDOM.normal(size=(VOCABULARY, DIM)).astype(np.float32)
KNOWN = RANDOM.normal(size=(REQUESTS, FEATURES, VOCABULARY)).astype(np.float32)
OWN = RANDOM.integers(0, VOCABULARY, (REQUESTS, 3))


@dataclasses.dataclass(frozen=True)
class Known:
    """A term of the features `KNOWN`: gates [R, F], and the number of each request."""

    gates: tf.Tensor
    requests: tf.Tensor

    @property
    def order(self):
        return self.requests

    def features(self, candidate_ids):
        known = tf.gather(tf.constant(KNOWN), self.requests)
        if len(candidate_ids.shape) == 1:
            return tf.gather(known, candidate_ids, axis=2)
        return tf.gather(known, candidate_ids[:, tf.newaxis] + [[0]] * FEATURES, batch_dims=2)

    def __call__(self, candidate_ids):
        return tf.einsum("rf,rfc->rc", self.gates, self.features(candidate_ids))

    def gather(self, rows):
        return Known(tf.gather(self.gates, rows), tf.gather(self.requests, rows))

    def select(self, chosen):
        return self.gather(tf.where(chosen)[:, 0])

    def join(self, others):
        every = (self, *others)
        return Known(
            tf.concat([term.gates for term in every], 0),
            tf.concat([term.requests for term in every], 0),
        )

    def scaled(self, temperature):
        return Known(self.gates / temperature, self.requests)


def make(num_interests, num_terms):
    random = np.random.default_rng(num_interests)
    embeddings = random.normal(size=(REQUESTS, num_interests, DIM)).astype(np.float32)
    gates = random.normal(size=(num_terms, REQUESTS, FEATURES)).astype(np.float32)
    requests = tf.range(REQUESTS)
    return Queries(
        tf.constant(embeddings), tuple(Known(tf.constant(one), requests) for one in gates)
    )


def oracle(queries):
    """[R, V] scores by the formula."""
    scores = np.max(np.einsum("rnd,cd->rnc", queries.embeddings, TABLE), axis=1)
    for term in queries.terms:
        scores = scores + np.einsum("rf,rfc->rc", term.gates, KNOWN[term.requests.numpy()])
    return scores


@pytest.mark.parametrize("num_interests", [1, 3])
@pytest.mark.parametrize("num_terms", [0, 1, 2])
def test_scores_equal_the_formula(num_interests, num_terms):
    queries = make(num_interests, num_terms)
    wanted = oracle(queries)
    every, own = tf.range(VOCABULARY), tf.constant(OWN)
    one = own[:, 0]
    np.testing.assert_allclose(queries.score(TABLE, every), wanted, rtol=1e-5, atol=1e-6)
    listed = queries.score_own(tf.gather(TABLE, own), own)
    np.testing.assert_allclose(listed, np.take_along_axis(wanted, OWN, 1), rtol=1e-5, atol=1e-6)
    pairs = queries.score_pairs(tf.gather(TABLE, one), one)
    np.testing.assert_allclose(pairs, wanted[range(REQUESTS), OWN[:, 0]], rtol=1e-5, atol=1e-6)
    assert queries.num_interests == num_interests
    assert queries.num_features == num_terms * FEATURES
    np.testing.assert_allclose(queries.mean, np.mean(queries.embeddings, axis=1), rtol=1e-6)


@pytest.mark.parametrize("num_interests", [1, 3])
def test_parts_score_as_the_whole(num_interests):
    queries = make(num_interests, 2)
    every = tf.range(VOCABULARY)
    whole = queries.score(TABLE, every).numpy()
    rows = [4, 0, 0]
    np.testing.assert_allclose(queries.gather(rows).score(TABLE, every), whole[rows], rtol=1e-5)
    chosen = np.array([True, False, False, True, True])
    some = queries.select(tf.constant(chosen))
    np.testing.assert_allclose(some.score(TABLE, every), whole[chosen], rtol=1e-5)
    both = queries.join([some, queries])
    np.testing.assert_allclose(
        both.score(TABLE, every), np.concatenate([whole, whole[chosen], whole]), rtol=1e-5
    )
    np.testing.assert_allclose(queries.scaled(0.5).score(TABLE, every), whole / 0.5, rtol=1e-5)


def test_plain_queries_run_one_product():
    """The scores of N = 1 are those of the matrix product, to the bit."""
    random = np.random.default_rng(4)
    vectors, table = (random.normal(size=size).astype(np.float32) for size in ((70, 32), (300, 32)))
    queries = plain_queries(tf.constant(vectors))
    wanted = tf.matmul(vectors, table, transpose_b=True)
    np.testing.assert_array_equal(queries.score(table, tf.range(300)), wanted)
    graph = tf.function(lambda one: one.score(table, tf.range(300)))
    operations = [node.type for node in graph.get_concrete_function(queries).graph.get_operations()]
    assert operations.count("MatMul") == 1
    assert "Maximum" not in operations


def test_the_gradient_goes_to_the_first_of_equal_vectors():
    embeddings = tf.constant([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        score = Queries(embeddings).score(tf.constant([[2.0, 2.0]]), tf.constant([0]))
    np.testing.assert_array_equal(score, [[2.0]])
    np.testing.assert_array_equal(
        tape.gradient(score, embeddings), [[[2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]]
    )


def test_half_precision_scores_in_float32():
    queries = plain_queries(tf.constant([[300.0, 300.0]], tf.float16))
    score = queries.score(tf.constant([[300.0, 300.0]], tf.float16), tf.constant([0]))
    np.testing.assert_array_equal(score, [[180_000.0]])  # float16 ends at 65,504


class Encoder:
    """A model that offers embeddings alone."""

    def __init__(self, *shape):
        self.shape = shape

    def __call__(self, features, training=False):
        return np.arange(np.prod((2, 3, *self.shape)), dtype=np.float64).reshape(2, 3, *self.shape)

    def encode(self, features):
        return self(features)[:, -1]

    def candidate_embeddings(self):
        return np.zeros((VOCABULARY, self.shape[-1]))


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
def test_an_encoder_is_adapted(shape):
    batch = {"item_ids": tf.ones([2, 3, 1], tf.int32)}
    model = as_query_model(Encoder(*shape))
    assert isinstance(model, QueryModel)
    assert as_query_model(model) is model
    every = model.queries(batch, every=True)
    interests = shape[0] if len(shape) == 2 else 1
    assert every.embeddings.shape == (6, interests, 4)
    last = model.queries(batch)
    np.testing.assert_array_equal(last.embeddings, every.gather([2, 5]).embeddings)
    assert every.terms == ()
    assert model.candidate_embeddings().dtype == tf.float32


def test_what_is_no_model():
    with pytest.raises(TypeError, match=r"`model` should offer `queries`.*Received: int"):
        as_query_model(3)
    model = as_query_model(Encoder(4))
    with pytest.raises(ValueError, match=r"`model.encode\(features\)` should have the shape"):
        model.queries({"item_ids": tf.ones([3, 3, 1], tf.int32)})
    model = as_query_model(Encoder(2, 2, 4))
    with pytest.raises(ValueError, match=r"`model\(features\)` should have the shape"):
        model.queries({"item_ids": tf.ones([2, 3, 1], tf.int32)}, every=True)


def test_former_functions_agree_and_warn():
    queries = make(3, 0)
    own = tf.constant(OWN)
    every, mine = tf.range(VOCABULARY), tf.gather(TABLE, own)
    embeddings, single = queries.embeddings, own[:, 0]
    one = mine[:, 0]
    with pytest.warns(FutureWarning, match=r"`scoring.score` is now a method"):
        scores = scoring.score(embeddings[tf.newaxis], TABLE, True)
    np.testing.assert_array_equal(scores[0], queries.score(TABLE, every))
    with pytest.warns(FutureWarning, match=r"`scoring.score_given` is now a method"):
        scores = scoring.score_given(embeddings, mine, True)
    np.testing.assert_array_equal(scores, queries.score_own(mine, own))
    with pytest.warns(FutureWarning, match=r"`scoring.score_pairs` is now a method"):
        scores = scoring.score_pairs(embeddings, one, True)
    np.testing.assert_array_equal(scores, queries.score_pairs(one, single))
