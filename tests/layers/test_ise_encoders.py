"""Item-based session encoders: NumPy oracles of the papers, and the properties."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec import layers
from tfsessionrec.backend import keras
from tfsessionrec.layers import (
    GRUISE,
    NARMISE,
    SRGNNISE,
    STAMPISE,
    AttentionISE,
    ItemSessionEncoder,
    MaxISE,
    MeanISE,
    SumISE,
    TransformerISE,
)
from tfsessionrec.layers.ise.srgnn import session_graph

# options differ from the defaults, so that an encoder that loses one fails
MAKERS = {
    "mean": MeanISE,
    "max": MaxISE,
    "sum": SumISE,
    "attention": lambda: AttentionISE(hidden_dim=5),
    "transformer": lambda: TransformerISE(num_layers=2, num_heads=4, intermediate_dim=12),
    "gru": lambda: GRUISE(num_layers=2),
    "stamp": STAMPISE,
    "srgnn": lambda: SRGNNISE(num_steps=2),
    "narm": lambda: NARMISE(hidden_dim=6),
}
every_encoder = pytest.mark.parametrize("name", MAKERS)
ordered = pytest.mark.parametrize("name", ["transformer", "gru", "stamp", "srgnn", "narm"])


@pytest.fixture
def batch():
    """Items [3, 4, 5, 8] with a mask and ids; ids repeat, with embeddings that differ a little."""
    rng = np.random.default_rng(0)
    item_ids = rng.integers(2, 5, (3, 4, 5)).astype(np.int32)
    items = rng.normal(size=(5, 8))[item_ids] + 0.2 * rng.normal(size=(3, 4, 5, 8))
    lengths = rng.integers(1, 6, (3, 4, 1))
    lengths[0, 0], lengths[0, 1] = 5, 1
    mask = np.arange(5) < lengths
    mask[1, 2:] = False  # sessions that are padding
    mask[2, 0] = False  # also in the middle of a user's history
    return {
        "item_embeddings": items.astype(np.float32),
        "padding_mask": mask,
        "item_ids": item_ids * mask,
    }


@pytest.fixture
def layer(name, batch):
    keras.utils.set_random_seed(0)
    layer = MAKERS[name]()
    layer(**batch)
    # biases and norms start at 0 and 1: random ones show where they are used
    rng = np.random.default_rng(1)
    layer.set_weights([w + rng.normal(0, 0.3, w.shape) for w in layer.get_weights()])
    return layer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    share = np.exp(x - x.max())
    return share / share.sum()


def mean_oracle(weights, x, ids):
    return x.mean(0)


def max_oracle(weights, x, ids):
    return x.max(0)


def sum_oracle(weights, x, ids):
    return sum(x)


def attention_oracle(weights, x, ids):
    """Yang et al., 2016, equations 5 to 7."""
    kernel, bias, query = weights
    share = softmax(np.array([np.tanh(e @ kernel + bias) @ query[:, 0] for e in x]))
    return sum(a * e for a, e in zip(share, x, strict=True))


def transformer_oracle(weights, x, ids, num_heads=4):
    """Pre-norm blocks with attention to all items, then the mean."""
    positions, *weights = weights

    def norm(x, gamma, beta):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gamma + beta

    size = x.shape[1] // num_heads
    x = x + positions[: len(x)]
    for block in range(2):
        g1, b1, wqkv, bqkv, wo, bo, g2, b2, w1, c1, w2, c2 = weights[12 * block : 12 * block + 12]
        q, k, v = np.split(norm(x, g1, b1) @ wqkv + bqkv, 3, axis=-1)
        attended = np.zeros_like(x)
        for head in range(num_heads):
            part = slice(head * size, (head + 1) * size)
            for i in range(len(x)):
                attended[i, part] = softmax(k[:, part] @ q[i, part] / np.sqrt(size)) @ v[:, part]
        x = x + attended @ wo + bo
        x = x + np.maximum(norm(x, g2, b2) @ w1 + c1, 0) @ w2 + c2
    return x.mean(0)


def gru_states(kernel, recurrent_kernel, biases, x):
    """Cho et al., 2014, with the reset gate after the product, as in cuDNN."""
    wz, wr, wh = np.split(kernel, 3, axis=1)
    uz, ur, uh = np.split(recurrent_kernel, 3, axis=1)
    (bz, br, bh), (cz, cr, ch) = np.split(biases[0], 3), np.split(biases[1], 3)
    state, states = np.zeros(len(uz)), []
    for e in x:
        z = sigmoid(e @ wz + bz + state @ uz + cz)
        r = sigmoid(e @ wr + br + state @ ur + cr)
        state = z * state + (1 - z) * np.tanh(e @ wh + bh + r * (state @ uh + ch))
        states.append(state)
    return np.array(states)


def gru_oracle(weights, x, ids):
    return gru_states(*weights[3:], gru_states(*weights[:3], x))[-1]


def stamp_oracle(weights, x, ids):
    """Liu et al., 2018, equations 3 to 8 (without the sigmoid over the trilinear product)."""
    w1, w2, w3, ba, w0, ws, bs, wt, bt = weights
    mt, ms = x[-1], x.mean(0)
    ma = np.zeros_like(mt)
    for e in x:
        ma += sigmoid(e @ w1 + mt @ w2 + ms @ w3 + ba) @ w0 * e
    hs, ht = np.tanh(ma @ ws + bs), np.tanh(mt @ wt + bt)
    candidates = np.eye(len(mt))  # the score of each unit vector is a component of the session's
    return np.array([np.sum(hs * ht * candidate) for candidate in candidates])


def srgnn_oracle(weights, x, ids, num_steps=2):
    """Wu et al., 2019, equations 1 to 7, node by node over dictionaries."""
    h_out, b_out, h_in, b_in, w, u, u_o, w1, w2, c, q, w3 = weights
    w_z, w_r, w_o = np.split(w, 3, axis=1)
    u_z, u_r = np.split(u, 2, axis=1)
    steps = list(itertools.pairwise(ids))
    nodes = {v: np.mean([e for e, i in zip(x, ids, strict=True) if i == v], 0) for v in ids}
    for _ in range(num_steps):
        after = {}
        for v, old in nodes.items():
            following = [nodes[w] for u, w in steps if u == v]
            preceding = [nodes[u] for u, w in steps if w == v]
            zero = np.zeros_like(old)
            message = np.concatenate(
                [
                    (np.mean(following, 0) if following else zero) @ h_out + b_out,
                    (np.mean(preceding, 0) if preceding else zero) @ h_in + b_in,
                ]
            )
            z = sigmoid(message @ w_z + old @ u_z)
            r = sigmoid(message @ w_r + old @ u_r)
            after[v] = (1 - z) * old + z * np.tanh(message @ w_o + (r * old) @ u_o)
        nodes = after
    last = nodes[ids[-1]]
    overall = sum((sigmoid(last @ w1 + nodes[i] @ w2 + c) @ q) * nodes[i] for i in ids)
    return np.concatenate([last, overall]) @ w3


def narm_oracle(weights, x, ids):
    """Li et al., 2017, equations 4 to 11."""
    *gru, a1, a2, v, b = weights
    states = gru_states(*gru, x)
    local = sum((sigmoid(states[-1] @ a1 + h @ a2) @ v) * h for h in states)
    return np.concatenate([states[-1], local]) @ b


ORACLES = {
    "mean": mean_oracle,
    "max": max_oracle,
    "sum": sum_oracle,
    "attention": attention_oracle,
    "transformer": transformer_oracle,
    "gru": gru_oracle,
    "stamp": stamp_oracle,
    "srgnn": srgnn_oracle,
    "narm": narm_oracle,
}


def test_all_encoders_are_tested():
    made = {type(make()) for make in MAKERS.values()}
    exported = {getattr(layers, name) for name in layers.__all__}
    encoders = {layer for layer in exported if issubclass(layer, ItemSessionEncoder)}
    assert made == encoders - {ItemSessionEncoder}


@every_encoder
def test_equals_oracle(name, layer, batch):
    weights = [np.asarray(w, np.float64) for w in layer.get_weights()]
    items, mask, item_ids = batch.values()
    expected = np.zeros((3, 4, 8))
    for b, s in zip(*np.nonzero(mask.any(-1)), strict=True):
        n = mask[b, s].sum()
        expected[b, s] = ORACLES[name](
            weights, items[b, s, :n].astype(np.float64), item_ids[b, s, :n].tolist()
        )
    np.testing.assert_allclose(layer(**batch), expected, atol=1e-5)


@every_encoder
def test_harness(name, batch, check_layer):
    if name != "srgnn":
        del batch["item_ids"]
    check_layer(MAKERS[name], {key: tf.constant(value) for key, value in batch.items()})


@every_encoder
@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradients_are_finite_and_none_reaches_padding(name, layer, batch, jit_compile):
    mask = batch["padding_mask"]
    # Keras 3 wraps TensorFlow's variables
    variables = [w if isinstance(w, tf.Variable) else w.value for w in layer.trainable_weights]

    @tf.function(jit_compile=jit_compile)
    def gradients(items, mask, item_ids):
        with tf.GradientTape() as tape:
            tape.watch(items)
            encoded = layer(items, padding_mask=mask, item_ids=item_ids)
            loss = tf.reduce_sum(tf.square(encoded - 1.0))
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, [items, *variables])]

    of_items, *of_weights = gradients(*(tf.constant(value) for value in batch.values()))
    reached = np.abs(of_items).max(-1) > 0
    assert not np.any(reached & ~mask)
    # An item without a largest component does not affect the maximum.
    assert np.any(reached, axis=-1)[mask.any(-1)].all() if name == "max" else np.all(reached[mask])
    assert all(np.all(np.isfinite(gradient)) for gradient in (of_items, *of_weights))
    assert all(np.any(np.asarray(gradient) != 0) for gradient in of_weights)
    # a batch of padding alone
    nothing = tf.zeros_like(mask)
    for gradient in gradients(batch["item_embeddings"], nothing, tf.zeros([3, 4, 5], tf.int32)):
        assert np.all(np.asarray(gradient) == 0)


@every_encoder
def test_without_a_mask_everything_is_real(name, layer, batch):
    batch["padding_mask"] = np.ones_like(batch["padding_mask"])
    expected = layer(**batch)
    del batch["padding_mask"]
    np.testing.assert_array_equal(layer(**batch), expected)


@ordered
def test_order_matters(name, layer, batch):
    backwards = {key: value[:1, :1, ::-1].copy() for key, value in batch.items()}
    forwards = {key: value[:1, :1] for key, value in batch.items()}
    assert np.abs(layer(**forwards) - layer(**backwards)).max() > 1e-2


@pytest.mark.parametrize("name", ["mean", "max", "sum", "attention", "stamp"])
def test_order_before_the_last_item_does_not_matter(name, layer, batch):
    forwards = {key: value[:1, :1] for key, value in batch.items()}
    swapped = {key: value[:, :, [2, 0, 3, 1, 4]] for key, value in forwards.items()}
    np.testing.assert_allclose(layer(**forwards), layer(**swapped), atol=1e-5)


@pytest.mark.parametrize("encoder", [MeanISE, MaxISE, SumISE, AttentionISE])
def test_one_item_a_session_is_that_item(encoder):
    items = np.random.default_rng(0).normal(size=(2, 3, 1, 4)).astype(np.float32)
    np.testing.assert_allclose(encoder()(items), items[:, :, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "rates"),
    [
        (TransformerISE, {"dropout": 0.5}),
        (GRUISE, {"dropout": 0.5}),
        (NARMISE, {"input_dropout": 0.5, "output_dropout": 0.0}),
        (NARMISE, {"input_dropout": 0.0, "output_dropout": 0.5}),
    ],
)
def test_dropout_only_in_training(make, rates, batch):
    layer = make(**rates)
    np.testing.assert_array_equal(layer(**batch), layer(**batch, training=False))
    assert np.any(layer(**batch, training=True) != layer(**batch, training=True))
    still = make(**dict.fromkeys(rates, 0.0))
    np.testing.assert_array_equal(still(**batch, training=True), still(**batch, training=False))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (AttentionISE, {"hidden_dim": 5}),
        (
            TransformerISE,
            {
                "num_layers": 3,
                "num_heads": 4,
                "intermediate_dim": 7,
                "dropout": 0.1,
                "max_length": 9,
            },
        ),
        (GRUISE, {"num_layers": 3, "dropout": 0.1}),
        (SRGNNISE, {"num_steps": 3}),
        (NARMISE, {"hidden_dim": 5, "input_dropout": 0.1, "output_dropout": 0.2}),
    ],
)
def test_configuration_keeps_each_option(make, options):
    assert options.items() <= make(**options).get_config().items()


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (AttentionISE, {"hidden_dim": 0}, "`hidden_dim` should be a positive integer"),
        (TransformerISE, {"num_layers": 0}, "`num_layers` should be a positive integer"),
        (TransformerISE, {"num_heads": 3}, "`num_heads` should divide the embedding dimension"),
        (TransformerISE, {"dropout": 1.0}, r"`dropout` should be in \[0, 1\). .*`dropout`=1.0"),
        (TransformerISE, {"max_length": 0}, "`max_length` should be a positive integer"),
        (GRUISE, {"num_layers": -1}, "`num_layers` should be a positive .*`num_layers`=-1"),
        (GRUISE, {"dropout": 1.5}, r"`dropout` should be in \[0, 1\). .*`dropout`=1.5"),
        (SRGNNISE, {"num_steps": 0}, "`num_steps` should be a positive .*`num_steps`=0"),
        (NARMISE, {"hidden_dim": 2.5}, "`hidden_dim` should be a positive .*`hidden_dim`=2.5"),
        (NARMISE, {"input_dropout": 1}, r"`input_dropout` should be in \[0, 1\)"),
        (NARMISE, {"output_dropout": -1}, r"`output_dropout` should be in \[0, 1\)"),
    ],
)
def test_bad_arguments(make, options, message, batch):
    with pytest.raises(ValueError, match=message):
        make(**options)(**batch)


@every_encoder
def test_wrong_ranks(name):
    with pytest.raises(ValueError, match=r"`item_embeddings` should have the shape .* \(2, 8\)"):
        MAKERS[name]()(tf.zeros([2, 8]))
    with pytest.raises(ValueError, match=r"`padding_mask` should have the shape"):
        MAKERS[name]()(tf.zeros([2, 3, 4, 8]), padding_mask=tf.ones([2, 3], tf.bool))


def test_srgnn_requires_item_ids(batch):
    items, mask, _ = batch.values()
    with pytest.raises(ValueError, match=r"`item_ids` should not be None.* `item_ids`=None"):
        SRGNNISE()(items, padding_mask=mask)
    with pytest.raises(ValueError, match=r"`item_ids` should have the shape .* \(3, 4\)"):
        SRGNNISE()(items, padding_mask=mask, item_ids=tf.zeros([3, 4], tf.int32))


@pytest.mark.parametrize("name", ["srgnn"])
def test_srgnn_reads_only_which_ids_are_equal(name, layer, batch):
    expected = layer(**batch).numpy()
    batch["item_ids"] = np.array([0, 0, 900, 17, 5], np.int32)[batch["item_ids"]]
    np.testing.assert_allclose(layer(**batch), expected, atol=1e-6)
    batch["item_ids"] = np.broadcast_to(np.arange(2, 7, dtype=np.int32), (3, 4, 5))
    assert np.abs(layer(**batch)[0, 0] - expected[0, 0]).max() > 1e-2


def test_session_graph_of_the_paper():
    """Figure 2 of Wu et al., 2019: the session v1 v2 v3 v2 v4, here with padding after it."""
    ids = tf.constant([[11, 12, 13, 12, 14, 0]])
    membership, outgoing, incoming = (part.numpy()[0] for part in session_graph(ids, ids > 0))
    nodes = [0, 1, 2, 4]  # the positions that first hold v1, v2, v3, v4
    np.testing.assert_array_equal(
        outgoing[np.ix_(nodes, nodes)],
        [[0, 1, 0, 0], [0, 0, 0.5, 0.5], [0, 1, 0, 0], [0, 0, 0, 0]],
    )
    np.testing.assert_array_equal(
        incoming[np.ix_(nodes, nodes)],
        [[0, 0, 0, 0], [0.5, 0, 0.5, 0], [0, 1, 0, 0], [0, 1, 0, 0]],
    )
    assert outgoing.sum() == outgoing[np.ix_(nodes, nodes)].sum()
    assert incoming.sum() == incoming[np.ix_(nodes, nodes)].sum()
    np.testing.assert_array_equal(membership.argmax(1)[:5], [0, 1, 2, 1, 4])
    np.testing.assert_array_equal(membership.sum(1), [1, 1, 1, 1, 1, 0])


def test_edges_are_weighted_by_their_frequency():
    ids = tf.constant([[5, 6, 5, 6, 5, 5, 7]])  # 5 to 6 twice, to itself and to 7 once
    _, outgoing, _ = session_graph(ids, ids > 0)
    np.testing.assert_array_equal(outgoing[0, 0], [0.25, 0.5, 0, 0, 0, 0, 0.25])


@pytest.mark.parametrize("make", [GRUISE, NARMISE])
def test_cudnn_can_compute_the_gru(make, batch):
    layer = make()
    layer(**batch)
    config = (layer.recurrent_layers[0] if make is GRUISE else layer.gru).get_config()
    required = {
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "recurrent_dropout": 0.0,
        "unroll": False,
        "use_bias": True,
        "reset_after": True,
    }
    assert required.items() <= config.items()


@every_encoder
def test_reads_nothing_but_the_items(name):
    assert MAKERS[name]().reads == frozenset()
