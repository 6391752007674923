"""Items that training never saw are recommended by their features."""

import numpy as np
import polars as pl
import tensorflow as tf

import tfsessionrec as sr

KINDS, ITEMS = 4, 12  # of each kind
HELD_OUT = 3  # of each kind
NAMES = np.array([[f"{kind}-{number}" for number in range(ITEMS)] for kind in range(KINDS)])


def log(seed, users=300):
    """Sessions in which a thing of one kind is followed by any thing of the next kind."""
    rng = np.random.default_rng(seed)
    kinds = (rng.integers(KINDS, size=(users, 1)) + np.arange(6)) % KINDS
    items = NAMES[kinds, rng.integers(ITEMS, size=kinds.shape)]
    return pl.DataFrame(
        {
            "user": np.repeat(np.arange(users), 6),
            "item_id": items.ravel(),
            "timestamp": np.tile(np.arange(6), users),
        }
    )


def held_out():
    return pl.col("item_id").is_in(NAMES[:, :HELD_OUT].ravel().tolist())


def mean_rank(with_features, id_dropout):
    """Mean rank of the held-out items among all, over histories that one of them follows."""
    seen = log(0).filter(~held_out())
    train = sr.data.sessionize(seen, user="user", gap=0)
    vocabulary = sr.data.Vocabulary.from_sessions(train).extend(NAMES.ravel())
    assert vocabulary.num_new_items == KINDS * HELD_OUT
    # A price that means nothing, so that no two items are alike.
    catalogue = pl.DataFrame(
        {
            "item_id": NAMES.ravel(),
            "kind": np.repeat(["a", "b", "c", "d"], ITEMS),
            "price": np.random.default_rng(1).normal(size=NAMES.size),
        }
    )
    features = sr.data.item_features(catalogue, vocabulary, categorical=["kind"], dense=["price"])
    tf.keras.utils.set_random_seed(0)
    model = sr.models.build(
        "gru4rec",
        vocabulary_size=len(vocabulary),
        embedding_dim=16,
        dropout=0.0,
        features=features if with_features else None,
        id_dropout=id_dropout,
        num_new_items=vocabulary.num_new_items,
    )
    model.compile(tf.keras.optimizers.Adam(0.01))
    model.fit(
        sr.data.session_dataset(train, vocabulary, seed=0, batch_size=100), epochs=30, verbose=0
    )

    # A new log: the first five of each user, all of them known, and a held-out sixth.
    test = log(2, users=1000).with_columns(last=pl.col("timestamp") == 5)
    asked = (held_out() == pl.col("last")).all().over("user")
    test = sr.data.sessionize(test.filter(asked), user="user", gap=0)
    (batch,) = sr.data.session_dataset(test, vocabulary, targets="last", batch_size=300)
    assert len(batch["target_ids"]) > 20
    scores = model.encode({"item_ids": batch["item_ids"]}) @ tf.transpose(
        model.candidate_embeddings()
    )
    scores = scores.numpy()[:, 2:]
    target = batch["target_ids"].numpy()[:, :1] - 2
    own = np.take_along_axis(scores, target, 1)
    # ties half against
    ranks = (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2 + 1
    return ranks.mean()


def test_held_out_items_are_ranked_by_their_features():
    # Chance is 24.5 of 48; whoever knows the kind alone cannot do better than 6.5.
    with_dropout = mean_rank(with_features=True, id_dropout=0.5)
    assert with_dropout < 10
    assert mean_rank(with_features=True, id_dropout=0.0) > with_dropout + 1
    assert mean_rank(with_features=False, id_dropout=0.0) > 20
