"""SessionRec with a relation: learns an order that no embedding of an item could."""

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from tfsessionrec import data, evaluation, export, models

NUM_USERS = 60


def log(seed=0, users=NUM_USERS):
    """Touches of hotels that no other user sees, then a request: clicked is what was touched last.

    A user's first request is answered by the lowest price.
    """
    draw = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        hotels = [f"u{user}h{n}" for n in range(6)]
        time = 1000 * user

        def request(taken, user=user, hotels=hotels, time=time):
            prices = draw.permutation(6) + 1.0
            taken = hotels[int(prices.argmin())] if taken is None else taken
            shown = "|".join(hotels), "|".join(map(str, prices))
            rows.append((user, taken, time + len(rows), "click", *shown))

        request(None)
        for _ in range(2):
            for touched in draw.choice(hotels, 2, replace=False):
                rows.append((user, touched, time + len(rows), "look", None, None))
            request(touched)
    columns = ["user", "item_id", "timestamp", "type", "shown", "prices"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def sessions_of(events):
    return data.sessionize(
        events,
        user="user",
        gap="0s",
        interaction_type="type",
        impressions="shown",
        impression_features={"price": "prices"},
    )


def batches(sessions, vocabulary, **options):
    return data.session_dataset(
        sessions,
        vocabulary,
        interaction_types=["click", "look"],
        context=("position", "price"),
        match_ids=True,
        **options,
    )


def build(vocabulary, **relation):
    tf.keras.utils.set_random_seed(0)
    model = models.build(
        "sessionrec-gru",
        vocabulary_size=len(vocabulary),
        embedding_dim=4,
        num_layers=1,
        negatives="full",
        habit=None,
        num_interaction_types=2,
        ranking_loss="listwise",
        ranking_weight=10.0,
        relation={
            "numeric": ["price"],
            "num_interaction_types": 2,
            "hidden_dims": (16, 16),
            "dropout": 0.0,
            **relation,
        },
    )
    model.compile(optimizer=tf.keras.optimizers.Adam(0.01))
    return model


@pytest.fixture(scope="module")
def trained():
    sessions = sessions_of(log())
    vocabulary = data.Vocabulary.from_sessions(sessions)
    model = build(vocabulary)
    model.fit(batches(sessions, vocabulary, seed=1, batch_size=20), epochs=40, verbose=0)
    return model, vocabulary


@pytest.mark.slow
def test_ranks_items_that_training_never_saw(trained):
    model, vocabulary = trained
    unseen = sessions_of(
        log(seed=9).with_columns(
            item_id="new" + pl.col("item_id"), shown=pl.col("shown").str.replace_all("u", "newu")
        )
    )
    dataset = batches(unseen, vocabulary)
    assert max(int(tf.reduce_max(batch["item_ids"])) for batch in dataset) == 1
    report = evaluation.evaluate_ranking(model, dataset, empty_history=True)
    # Three requests a user, and no touch in between.
    assert report.num_queries == 3 * NUM_USERS
    assert report.num_candidates == 6
    assert report["mrr"] > 0.9 > 0.6 > report.baselines["as displayed"]["mrr"]


def test_score_shown_is_product_and_relation(trained):
    model, vocabulary = trained
    batch = next(iter(batches(sessions_of(log(3, users=4)), vocabulary)))
    scores = model.score_shown(batch).numpy()
    assert scores.shape == batch["item_ids"].shape
    query = model(batch).numpy()
    product = np.einsum(
        "bsd,bsid->bsi",
        query[:, :-1],
        model.candidate_embeddings().numpy()[batch["item_ids"]][:, 1:],
    )
    given = {name: batch[name] for name in ("labels", "session_times", "position")}
    relation = model.relation(
        batch["match_ids"],
        interaction_types=batch["interaction_types"],
        numeric=tf.cast(batch["price"], tf.float32)[..., None],
        **given,
    ).numpy()
    np.testing.assert_allclose(scores[:, 1:], product + relation[:, 1:], atol=1e-5)
    np.testing.assert_allclose(scores[:, 0], relation[:, 0], atol=1e-6)


def test_starts_as_the_model_without_it(trained):
    _, vocabulary = trained
    model = build(vocabulary, query_dim=4)
    batch = next(iter(batches(sessions_of(log(3, users=4)), vocabulary)))
    scores = model.score_shown(batch).numpy()
    assert not scores[:, 0].any()
    assert scores[:, 1:].any()


def test_may_rank_alone(trained):
    _, vocabulary = trained
    model = build(vocabulary, with_product=False)
    batch = next(iter(batches(sessions_of(log(3, users=4)), vocabulary)))
    assert not model.score_shown(batch).numpy().any()
    kernel = model.relation.output_weight.kernel
    kernel.assign(tf.ones_like(kernel))
    scores = model.score_shown(batch).numpy()
    assert scores[:, 0].any()
    assert scores[:, 1:].any()


def test_config_and_weights_travel(trained):
    model, vocabulary = trained
    twin = models.SessionRec.from_config(model.get_config())
    assert twin.get_config() == model.get_config()
    batch = next(iter(batches(sessions_of(log(3, users=4)), vocabulary)))
    twin(batch)
    twin.set_weights(model.get_weights())
    np.testing.assert_allclose(twin.score_shown(batch), model.score_shown(batch), atol=1e-6)


def test_missing_columns_are_named(trained):
    model, vocabulary = trained
    batch = dict(next(iter(batches(sessions_of(log(3, users=4)), vocabulary))))
    del batch["match_ids"], batch["price"]
    with pytest.raises(ValueError, match="The batch should have match_ids, price for `relation`"):
        model.score_shown(batch)


@pytest.mark.slow
def test_the_export_ranks_as_the_model(trained, tmp_path):
    model, vocabulary = trained
    sessions = sessions_of(log(5, users=5).with_columns(pl.col("item_id")))
    events = sessions.events
    (batch,) = batches(sessions, vocabulary)
    expected = model.score_shown(batch).numpy()
    path = export.export_saved_model(
        model,
        tmp_path / "1",
        vocabulary,
        max_sessions=50,
        max_items=20,
        interaction_types=["click", "look"],
    )
    signatures = tf.saved_model.load(str(path)).signatures
    assert "position" not in signatures["recommend"].structured_input_signature[1]
    rank = signatures["rank"]
    for row, user in enumerate(events["user_id"].unique(maintain_order=True)):
        mine = events.filter(pl.col("user_id") == user)
        last = mine["session_index"].max()
        for asked in (0, last):
            history = mine.filter(pl.col("session_index") < asked)
            now = mine.filter(pl.col("session_index") == asked)
            pad = [[0, 0], [0, 2]]
            candidates = tf.pad(tf.constant([now["item_id"].to_list()]), pad, constant_values="")
            found = rank(
                item_ids=tf.constant([history["item_id"].to_list()], tf.string, [1, len(history)]),
                session_index=tf.constant(history["session_index"].to_numpy()[None], tf.int32),
                labels=tf.constant(history["label"].to_numpy()[None], tf.float32),
                position=tf.constant(history["position"].to_numpy()[None], tf.int32),
                timestamps=tf.constant(history["timestamp"].to_numpy()[None].astype(np.int64)),
                interaction_types=tf.constant(
                    [history["interaction_type"].fill_null("").to_list()],
                    tf.string,
                    [1, len(history)],
                ),
                request_times=tf.constant(now["timestamp"].to_numpy()[:1].astype(np.int64)),
                candidate_ids=candidates,
                candidate_price=tf.pad(tf.constant(now["price"].to_numpy()[None], tf.float32), pad),
            )
            scores = found["scores"].numpy()[0]
            np.testing.assert_allclose(scores[:6], expected[row, asked, :6], atol=1e-4)
            assert (scores[6:] == tf.float32.min).all()


@pytest.mark.slow
def test_xla_trains(trained):
    _, vocabulary = trained
    sessions = sessions_of(log(users=8))
    model = build(vocabulary)
    model.compile(optimizer="sgd", jit_compile=True)
    dataset = batches(
        sessions,
        vocabulary,
        batch_size=8,
        max_sessions=7,
        max_items=6,
        static_shapes=True,
        drop_remainder=True,
    )
    losses = model.fit(dataset, epochs=2, verbose=0).history["ranking_loss"]
    assert np.isfinite(losses).all()
