"""SR-GNN: a gated graph network over the graph of a session's items."""

import tensorflow as tf

from tfsessionrec.backend import build_sublayer, keras
from tfsessionrec.checks import positive_integer
from tfsessionrec.layers.ise.base import FlatISE
from tfsessionrec.session_batch import last_real
from tfsessionrec.types import Config


@keras.utils.register_keras_serializable(package="tfsessionrec")
class SRGNNISE(FlatISE):
    """Session vector from the directed graph of the session's items.

    The distinct items are nodes; each step from one item to the next is an edge. `A_out[v, w]` is
    the share of the steps out of v that go to w, `A_in[v, w]` the share of the steps into v that
    come from w (see `session_graph`). A node starts as the mean of its item's embeddings in the
    session, which differ only in the interactions with the item. `num_steps` times, with all nodes
    as the rows of V:
    `a = [A_out V H_out + b_out; A_in V H_in + b_in]`, `z = sigmoid(W_z a + U_z v)`,
    `r = sigmoid(W_r a + U_r v)`, `v' = tanh(W_o a + U_o (r * v))`, `v <- (1 - z) * v + z * v'`.
    Then, with `v_1..v_n` the nodes in the order of the session, once for each occurrence:
    `s_g = sum_i (q · sigmoid(W_1 v_n + W_2 v_i + c)) v_i`, `S = W_3 [v_n; s_g]`.

    Args:
        num_steps: Propagation steps. Defaults to 1.

    Call arguments:
        item_embeddings: [B, S, I, D] float tensor, oldest first, padding last.
        padding_mask: [B, S, I] bool tensor, True where real. Default: everything is real.
        item_ids: [B, S, I] int tensor; required, since equal ids are one node.

    Returns:
        [B, S, D] float tensor; zeros for a session without a real item.

    Raises:
        ValueError: If `num_steps` is not a positive integer, or `item_ids` is None or of another
            rank.

    Example:

    >>> items, item_ids = tf.ones([1, 1, 3, 8]), tf.constant([[[4, 5, 4]]])
    >>> SRGNNISE()(items, item_ids=item_ids).shape
    TensorShape([1, 1, 8])

    References:
        SR-GNN (Wu et al., 2019), equations 1 to 7.
    """

    def __init__(self, num_steps: int = 1, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_steps = positive_integer("num_steps", num_steps)

    def build(self, input_shape: tf.TensorShape) -> None:
        dim, policy = int(input_shape[-1]), self.dtype_policy

        def dense(
            name: str, units: int, width: int = dim, use_bias: bool = False
        ) -> keras.layers.Layer:
            layer = keras.layers.Dense(units, use_bias=use_bias, name=name, dtype=policy)
            return build_sublayer(layer, (None, None, width))

        self.outgoing = dense("outgoing", dim, use_bias=True)
        self.incoming = dense("incoming", dim, use_bias=True)
        self.message_gates = dense("message_gates", 3 * dim, width=2 * dim)
        self.node_gates = dense("node_gates", 2 * dim)
        self.reset_node = dense("reset_node", dim)
        self.attention_last = dense("attention_last", dim)
        self.attention_item = dense("attention_item", dim, use_bias=True)
        self.attention_output = dense("attention_output", 1)
        self.output_projection = dense("output_projection", dim, width=2 * dim)
        self.built = True

    def encode(
        self,
        item_embeddings: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        if item_ids is None:
            raise ValueError(
                "`item_ids` should not be None: this encoder merges a session's repeated items. "
                "Received: `item_ids`=None"
            )
        if len(item_ids.shape) != 3:
            raise ValueError(
                "`item_ids` should have the shape [batch, sessions, items]. Received: `item_ids` "
                f"with shape {tuple(item_ids.shape)}"
            )
        return super().encode(item_embeddings, padding_mask, item_ids, training)

    def encode_sessions(
        self,
        items: tf.Tensor,
        padding_mask: tf.Tensor,
        item_ids: tf.Tensor | None,
        training: bool | None,
    ) -> tf.Tensor:
        membership, outgoing, incoming = (
            tf.cast(part, items.dtype) for part in session_graph(item_ids, padding_mask)
        )
        visits = tf.reduce_sum(membership, axis=1)[..., tf.newaxis]
        nodes = tf.math.divide_no_nan(tf.matmul(membership, items, transpose_a=True), visits)
        for _ in range(self.num_steps):
            nodes = self._propagate(nodes, outgoing, incoming)

        visited = tf.matmul(membership, nodes)
        last = last_real(visited, padding_mask)
        query = self.attention_last(last)[:, tf.newaxis]
        # Padding belongs to no node: its row of `visited` is zero.
        weights = self.attention_output(tf.sigmoid(self.attention_item(visited) + query))
        overall = tf.reduce_sum(weights * visited, axis=1)
        return self.output_projection(tf.concat([last, overall], axis=-1))

    def _propagate(self, nodes: tf.Tensor, outgoing: tf.Tensor, incoming: tf.Tensor) -> tf.Tensor:
        messages = tf.concat(
            [
                self.outgoing(tf.matmul(outgoing, nodes)),
                self.incoming(tf.matmul(incoming, nodes)),
            ],
            axis=-1,
        )
        message_z, message_r, message_o = tf.split(self.message_gates(messages), 3, axis=-1)
        node_z, node_r = tf.split(self.node_gates(nodes), 2, axis=-1)
        update = tf.sigmoid(message_z + node_z)
        reset = tf.sigmoid(message_r + node_r)
        candidate = tf.tanh(message_o + self.reset_node(reset * nodes))
        return (1 - update) * nodes + update * candidate

    def get_config(self) -> Config:
        config = super().get_config()
        config.update(num_steps=self.num_steps)
        return config


def session_graph(
    item_ids: tf.Tensor, padding_mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The directed graphs of sessions. Node k is the item whose first occurrence is at position k.

    Args:
        item_ids: [N, I] int tensor, padding last.
        padding_mask: [N, I] bool tensor, True where real.

    Returns:
        `membership` [N, I, I] float32: 1 where the item at position i is node k.
        `outgoing` [N, I, I] float32: share of the steps out of node k that go to node l.
        `incoming` [N, I, I] float32: share of the steps into node k that come from node l.
        Rows of nodes without such a step, and of positions without a node, are zero.

    Example: the session 7, 8, 7, 7 goes from 7 to 8 once and to itself once

    >>> membership, outgoing, incoming = session_graph(tf.constant([[7, 8, 7, 7]]),
    ...                                                tf.constant([[True, True, True, True]]))
    >>> outgoing.numpy()[0, :2, :2]
    array([[0.5, 0.5],
           [1. , 0. ]], dtype=float32)
    """
    real = padding_mask[:, :, tf.newaxis] & padding_mask[:, tf.newaxis, :]
    same = real & tf.equal(item_ids[:, :, tf.newaxis], item_ids[:, tf.newaxis, :])
    positions = tf.range(tf.shape(item_ids)[1])
    met_before = tf.reduce_any(same & (positions[:, tf.newaxis] > positions), axis=-1)
    membership = tf.cast(same & ~met_before[:, tf.newaxis, :], tf.float32)
    # Rows of `membership` at padding are zero: there is no step into padding.
    steps = tf.matmul(membership[:, :-1], membership[:, 1:], transpose_a=True)
    outgoing = tf.math.divide_no_nan(steps, tf.reduce_sum(steps, axis=-1, keepdims=True))
    steps_into = tf.linalg.matrix_transpose(steps)
    incoming = tf.math.divide_no_nan(steps_into, tf.reduce_sum(steps_into, axis=-1, keepdims=True))
    return membership, outgoing, incoming
