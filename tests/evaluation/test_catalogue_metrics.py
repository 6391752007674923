"""`CatalogueMetrics`: exact metrics in the logs of `fit`, for the callbacks behind it."""

import numpy as np
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec.evaluation import CatalogueMetrics, evaluate

SIZE = 30


def batches(rows: int = 24, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Cycles through the items: the item after each is certain."""
    start = np.random.default_rng(seed).integers(2, SIZE, (2, rows, 1))
    items = 2 + (start - 2 + np.arange(5)) % (SIZE - 2)
    return [{"item_ids": part[:, :, None].astype("int32")} for part in items]


def make_model() -> sr.models.SessionRec:
    keras = tf.keras
    keras.utils.set_random_seed(0)
    model = sr.models.build("gru4rec", vocabulary_size=SIZE, embedding_dim=8)
    model.compile(keras.optimizers.Adam(0.02))
    return model


def dataset() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(batches()[0]).batch(24).repeat(10)


def test_the_logs_hold_what_evaluate_finds_after_the_epoch() -> None:
    model, validation = make_model(), batches(seed=1)
    metrics = CatalogueMetrics(validation, k=(1, 5), metrics=("ndcg", "mrr"))
    history = model.fit(dataset(), epochs=3, verbose=0, callbacks=[metrics]).history
    report = evaluate(model, validation, k=(1, 5))
    for name in ("ndcg@1", "ndcg@5", "mrr@1", "mrr@5"):
        assert len(history[f"val_{name}"]) == 3
        assert history[f"val_{name}"][-1] == pytest.approx(report[name], abs=1e-6)
    assert "val_hit_rate@5" not in history
    assert history["val_ndcg@5"][-1] > history["val_ndcg@5"][0]


def test_callbacks_behind_it_watch_it(tmp_path) -> None:
    class Fixed(CatalogueMetrics):
        """What an epoch gives is given: 0.1, 0.3, 0.2, 0.2 ..."""

        def on_epoch_end(self, epoch, logs=None) -> None:
            super().on_epoch_end(epoch, logs)
            assert logs is not None
            logs["val_ndcg@5"] = [0.1, 0.3][epoch] if epoch < 2 else 0.2

    file = tmp_path / "best.{epoch:02d}.keras"
    callbacks = [
        Fixed(batches(seed=1), k=5),
        tf.keras.callbacks.EarlyStopping("val_ndcg@5", mode="max", patience=2),
        tf.keras.callbacks.ModelCheckpoint(
            str(file), monitor="val_ndcg@5", mode="max", save_best_only=True
        ),
    ]
    history = make_model().fit(dataset(), epochs=9, verbose=0, callbacks=callbacks).history
    assert len(history["loss"]) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.01.keras", "best.02.keras"]


def test_epochs_in_between_repeat_the_last_value() -> None:
    metrics = CatalogueMetrics(batches(seed=1), k=5, every=2)
    history = make_model().fit(dataset(), epochs=4, verbose=0, callbacks=[metrics]).history
    values = history["val_ndcg@5"]
    assert values[0] == values[1] != values[2] == values[3]


def test_some_rows_stand_for_all_and_stay_the_same() -> None:
    validation = batches(rows=100, seed=1)  # 2 x 100 rows of 4 queries
    metrics = CatalogueMetrics(validation, k=5, max_queries=200)
    rows = [row for batch in metrics._batches for row in batch["item_ids"][:, :, 0].tolist()]
    assert 46 <= len(rows) <= 50
    assert all(row in np.concatenate([b["item_ids"] for b in validation])[:, :, 0] for row in rows)
    again = CatalogueMetrics(validation, k=5, max_queries=200)
    for one, other in zip(metrics._batches, again._batches, strict=True):
        np.testing.assert_array_equal(one["item_ids"], other["item_ids"])
    other = CatalogueMetrics(validation, k=5, max_queries=200, seed=1)
    assert other._batches[0]["item_ids"].tolist() != metrics._batches[0]["item_ids"].tolist()
    whole = CatalogueMetrics(validation, k=5, max_queries=None)
    assert sum(len(batch["item_ids"]) for batch in whole._batches) == 200


@pytest.mark.slow
def test_no_epoch_traces_the_model_again() -> None:
    model, traces = make_model(), []
    call = model.backbone.call
    model.backbone.call = lambda *args, **kwargs: traces.append(1) or call(*args, **kwargs)
    seen = []
    count = tf.keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(len(traces)))
    metrics = CatalogueMetrics(batches(), k=5)
    model.fit(dataset(), epochs=3, verbose=0, callbacks=[metrics, count])
    assert seen[0] == seen[1] == seen[2]
    model.fit(dataset(), epochs=1, verbose=0, callbacks=[metrics, count])  # nor another fit
    assert seen[3] == seen[2]
    other = make_model()
    other.fit(dataset(), epochs=1, verbose=0, callbacks=[metrics])
    report = evaluate(other, batches(), k=5)
    assert metrics._last["val_ndcg@5"] == pytest.approx(report["ndcg@5"], abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "`k` should be a positive integer"),
        ({"every": 0}, "`every` should be a positive integer"),
        ({"max_queries": -1}, "`max_queries` should be a positive integer"),
        ({"dataset": []}, "`dataset` should hold at least one batch"),
    ],
)
def test_wrong_arguments_are_named(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        CatalogueMetrics(**{"dataset": batches(), **options})


@pytest.mark.slow
def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(ValueError, match=r"`metrics` should be one of .*'ndcg'.*'ndgc'"):
        CatalogueMetrics(batches(), k=5, metrics="ndgc")
    metrics = CatalogueMetrics(batches(), k=5, metrics="coverage")
    with pytest.raises(ValueError, match=r"`metrics` should be among .*ndcg@5.*'coverage@5'"):
        make_model().fit(dataset(), epochs=1, verbose=0, callbacks=[metrics])
