"""The table of an export against NumPy: what it returns, in which order, whatever the masks."""

import concurrent.futures
import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.export import candidate_table
from tfsessionrec.export.candidate_table import CandidateTable

LOWEST = np.finfo(np.float32).min
DTYPES = ["float32", "bfloat16", "int8", "int8 without oneDNN"]


@pytest.fixture(params=DTYPES)
def dtype(request, monkeypatch):
    name, _, without = request.param.partition(" without ")
    if without:
        monkeypatch.setattr(candidate_table, "has_joined_product", lambda: False)
    return name


def oracle(embeddings, queries, k, weights=None, bonus=None, allowed=None):
    """Scores and rows, one query after another, from a stable sort of plain products."""
    scores = np.stack([np.atleast_2d(query) @ embeddings.T for query in queries]).max(axis=1)
    if weights is not None:
        scores = scores * weights
    if bonus is not None:
        scores = scores + bonus
    if allowed is not None:
        scores = np.where(allowed, scores, LOWEST)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, rows, axis=1), rows


def traced(function, queries, **arguments):
    """The function as a graph for any number of queries."""
    specs = tf.TensorSpec([None, *queries.shape[1:]]), tf.TensorSpec([], tf.int32)
    graph = tf.function(lambda queries, k: function(queries, k, **arguments))
    graph = graph.get_concrete_function(*specs)
    return lambda queries, k: graph(tf.constant(queries), tf.constant(k))


def small_integers(shape, seed, low=-3, high=4):
    """Numbers whose products are the same in any order of summing, with many equal scores."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("num_items", "chunk_size"),
    # One block of 128 rows, part of one, several with a last one that is not full; one chunk, many.
    [(1, None), (7, 999), (128, None), (1003, None), (1003, 128), (1025, 256)],
)
@pytest.mark.parametrize("interests", [1, 3])
def test_top_k_is_that_of_a_stable_sort(dtype, num_items, chunk_size, interests):
    embeddings = small_integers((num_items, 4), seed=num_items)
    table = CandidateTable(embeddings, dtype=dtype, chunk_size=chunk_size)
    queries = small_integers((5, interests, 4), seed=0)
    top_k = traced(table.top_k, queries)
    for batch, k in itertools.product((1, 5), (-1, 0, 1, 10, 2000)):
        scores, rows = top_k(queries[:batch], k)
        expected_scores, expected_rows = oracle(embeddings, queries[:batch], max(k, 0))
        np.testing.assert_array_equal(rows, expected_rows)
        np.testing.assert_array_equal(scores, expected_scores)
    assert top_k(queries[:0], 3)[0].shape == (0, min(3, num_items))


@pytest.mark.parametrize("of_rows", [False, True], ids=["of all rows", "of each row"])
def test_weights_bonus_and_allowed_rows(dtype, of_rows):
    num_items, batch, k = 403, 3, 20
    embeddings = small_integers((num_items, 4), seed=0)
    table = CandidateTable(embeddings, dtype=dtype, chunk_size=256)
    queries = small_integers((batch, 1, 4), seed=1)
    shape = (batch, num_items) if of_rows else (num_items,)
    weights = small_integers(shape, seed=4, low=0)
    bonus = small_integers(shape, seed=2, low=-20, high=20)
    few = np.random.default_rng(3).random(shape) < 0.02  # fewer than k
    many = np.random.default_rng(3).random(shape) < 0.7
    for terms in (
        {"weights": weights},
        {"bonus": bonus},
        {"allowed": few},
        {"bonus": bonus, "allowed": few},
        {"weights": weights, "bonus": bonus, "allowed": many},
    ):
        constants = {name: tf.constant(values) for name, values in terms.items()}
        scores, rows = traced(table.top_k, queries, **constants)(queries, k)
        expected_scores, expected_rows = oracle(embeddings, queries, k, **terms)
        np.testing.assert_array_equal(rows, expected_rows)
        np.testing.assert_array_equal(scores, expected_scores)


def test_rows_that_fill_the_last_block_up_are_not_found(dtype):
    # Every score is negative, so that the zeros after the last row would be the best of all.
    embeddings = -np.arange(1, 300, dtype=np.float32)[:, np.newaxis]
    scores, rows = CandidateTable(embeddings, dtype=dtype).top_k(
        tf.ones([1, 1, 1]), tf.constant(200)
    )
    np.testing.assert_array_equal(rows, np.arange(200)[np.newaxis])
    np.testing.assert_array_equal(scores, -np.arange(1, 201)[np.newaxis])


@pytest.mark.parametrize("skew", ["none", "lengths", "common direction"])
def test_short_lists_lose_nothing(dtype, skew):
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((20_000, 64), np.float32)
    if skew == "lengths":
        embeddings *= rng.lognormal(0, 1, (20_000, 1)).astype(np.float32)
    if skew == "common direction":
        embeddings += 3
    queries = rng.standard_normal((20, 1, 64), np.float32) + (skew == "common direction")
    held = embeddings
    if dtype == "bfloat16":
        held = embeddings.astype(tf.bfloat16.as_numpy_dtype).astype(np.float32)
    scores, rows = CandidateTable(embeddings, dtype=dtype).top_k(queries, tf.constant(100))
    expected_scores, expected_rows = oracle(held.astype(np.float64), queries, 100)
    found = [len(set(a) & set(b)) for a, b in zip(np.asarray(rows), expected_rows, strict=True)]
    assert sum(found) / expected_rows.size >= 0.999
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)


def test_gather(dtype):
    rng = np.random.default_rng(0)
    # More rows than one part, of lengths from the smallest to the largest.
    embeddings = rng.standard_normal((20_001, 3)).astype(np.float32)
    embeddings *= np.exp2(rng.integers(-100, 100, (20_001, 1))).astype(np.float32)
    embeddings[5] = 0
    table = CandidateTable(embeddings, dtype=dtype)
    rows = np.array([[0, 5], [20_000, 1]], np.int32)
    largest = np.abs(embeddings).max(axis=1, keepdims=True)
    gathered = table.gather(tf.constant(rows))
    bound = {"float32": 0.0, "bfloat16": 2.0**-8, "int8": 2.0**-23}[dtype] * largest
    assert gathered.dtype == tf.float32
    assert (np.abs(gathered - embeddings[rows]) <= bound[rows]).all()


def test_a_large_batch_is_scored_chunk_by_chunk(monkeypatch):
    monkeypatch.setattr(candidate_table, "SCORES_AT_ONCE", 4 * 256)
    embeddings = small_integers((1003, 4), seed=0)
    queries = small_integers((5, 1, 4), seed=1)  # 5 x 256 scores are too many: chunks of 128
    seen = []
    table = CandidateTable(embeddings)
    one_pass = table._pass

    def watched(queries, start, stop, *more, **options):
        seen.append(int(stop - start))
        return one_pass(queries, start, stop, *more, **options)

    table._pass = watched
    rows = table.top_k(tf.constant(queries), tf.constant(10))[1]
    np.testing.assert_array_equal(rows, oracle(embeddings, queries, 10)[1])
    assert seen == [128] * 8


def test_a_product_of_bytes_takes_some_requests_of_a_large_batch_at_a_time(monkeypatch):
    monkeypatch.setattr(candidate_table, "SCORES_AT_ONCE", 3 * 1024)
    embeddings = small_integers((1003, 4), seed=0)
    queries = small_integers((7, 1, 4), seed=1)
    bonus = small_integers((7, 1003), seed=2)
    seen = []
    table = CandidateTable(embeddings, dtype="int8")
    one_product = table._joined_scores

    def watched(queries, *more, **options):
        seen.append(len(queries))
        return one_product(queries, *more, **options)

    table._joined_scores = watched
    rows = table.top_k(tf.constant(queries), tf.constant(10), bonus=tf.constant(bonus))[1]
    np.testing.assert_array_equal(rows, oracle(embeddings, queries, 10, bonus=bonus)[1])
    assert seen == [3, 3, 1]


def test_all_that_ask_in_a_signature_share_one_product_of_bytes():
    # Each further product would keep the table once more.
    table = CandidateTable(small_integers((300, 4), seed=0), dtype="int8")

    @tf.function(input_signature=[tf.TensorSpec([None, 1, 4]), tf.TensorSpec([], tf.bool)])
    def ask(queries, twice):
        once = table.top_k(queries, tf.constant(3))
        return tf.cond(twice, lambda: table.top_k(2 * queries, tf.constant(3)), lambda: once)

    graph = ask.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    assert [node.op for node in nodes].count("_QuantizedMatMul") == 1
    (function,) = [
        f for f in graph.library.function if "_QuantizedMatMul" in {n.op for n in f.node_def}
    ]
    assert function.attr["_noinline"].b
    queries = small_integers((2, 1, 4), seed=1)
    np.testing.assert_array_equal(*(ask(tf.constant(queries), twice)[1] for twice in (True, False)))


def test_requests_at_the_same_time_get_their_own_answers(dtype):
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((2000, 16), np.float32)
    top_k = traced(CandidateTable(embeddings, dtype=dtype).top_k, embeddings[:, np.newaxis])
    batches = [rng.standard_normal((1 + number % 3, 1, 16), np.float32) for number in range(60)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda queries: top_k(queries, 20), batches))
    for queries, (scores, rows) in zip(batches, together, strict=True):
        alone = top_k(queries, 20)
        np.testing.assert_array_equal(rows, alone[1])
        np.testing.assert_array_equal(scores, alone[0])


def test_saved_and_run_by_a_session(dtype, tmp_path):
    embeddings = small_integers((403, 4), seed=0)
    queries = small_integers((3, 2, 4), seed=1)
    allowed = np.random.default_rng(2).random((3, 403)) < 0.5
    table = CandidateTable(embeddings, dtype=dtype, chunk_size=128)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2, 4], name="queries"),
            tf.TensorSpec([], tf.int32, name="k"),
            tf.TensorSpec([None, 403], tf.bool, name="allowed"),
        ]
    )
    def top_k(queries, k, allowed):
        scores, rows = table.top_k(queries, k, allowed=allowed)
        return {"scores": scores, "rows": rows}

    tf.saved_model.save(table, str(tmp_path), signatures=top_k)
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path))
        signature = graph.signature_def["serving_default"]
        given = {"queries": queries, "k": 7, "allowed": allowed}
        feed = {signature.inputs[name].name: value for name, value in given.items()}
        fetch = {name: tensor.name for name, tensor in signature.outputs.items()}
        found = session.run(fetch, feed)
    expected_scores, expected_rows = oracle(embeddings, queries, 7, allowed=allowed)
    np.testing.assert_array_equal(found["rows"], expected_rows)
    np.testing.assert_array_equal(found["scores"], expected_scores)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embeddings": np.zeros((3,))}, r"`embeddings` .* \[C, D\]. Received: shape \(3,\)"),
        ({"embeddings": np.zeros((0, 4))}, r"Received: shape \(0, 4\)"),
        ({"embeddings": np.full((2, 2), np.nan)}, "`embeddings` should be finite"),
        ({"dtype": "float16"}, "`dtype` should be one of .* Received: `dtype`='float16'"),
        ({"chunk_size": 0}, "`chunk_size` should be a positive integer. Received: `chunk_size`=0"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        CandidateTable(**{"embeddings": np.ones((3, 2)), **arguments})


@pytest.mark.parametrize("dtype", DTYPES[:3])
def test_a_look_at_some_rows_does_not_make_later_readings_copy_the_table(dtype):
    """TensorFlow copies a variable at each reading once an operation has gathered from it."""
    table = CandidateTable(small_integers((300, 4), seed=0), dtype=dtype)
    traced(lambda queries, k: table.gather(tf.fill([1, k], 7)), np.ones((1, 4)))(
        np.ones((1, 4), np.float32), 2
    )
    for variable in table.variables:
        first, second = variable.read_value(), variable.read_value()
        addresses = [np.asarray(tf.bitcast(x, tf.uint8)).ctypes.data for x in (first, second)]
        assert addresses[0] == addresses[1], variable.name
