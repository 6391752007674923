"""Any encoder of sessions with any over sessions, under any objective: from a log to an export."""

import itertools

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec import data, evaluation, export, layers, models, tasks
from tfsessionrec.losses.sampled_loss import SAMPLED_LOSSES
from tfsessionrec.models import named
from tfsessionrec.tasks.next_session_retrieval import NEGATIVES

SSES = {
    "sasrec": lambda: layers.SASRecSSE(num_layers=1),
    "hstu": lambda: layers.HSTUSSE(num_layers=1),
    "gru": layers.GRUSSE,
    "mlp": layers.MLPSSE,
    "identity": layers.IdentitySSE,
}
ISES = sorted(named.ISES)
OBJECTIVES = ("next_session", "next_item", "rest_of_session")
RETRIEVAL = [
    (loss, negatives)
    for loss in SAMPLED_LOSSES
    for negatives in NEGATIVES
    if loss == "softmax" or negatives != "full"
]


@pytest.fixture(scope="module")
def log():
    """Sessions of a few users, whose last ones are held out, and the vocabulary."""
    rng = np.random.default_rng(0)
    rows = [
        {"user": user, "visit": 10 * user + visit, "item_id": f"i{item}", "timestamp": 9 * visit}
        for user in range(8)
        for visit in range(4)
        for item in rng.integers(0, 12, rng.integers(1, 4))
    ]
    sessions = data.sessionize(pl.DataFrame(rows), user="user", session="visit")
    train, test = data.leave_last_session_out(sessions)
    return train, test, data.Vocabulary.from_sessions(train)


def fit_and_evaluate(model, log, objective="next_session"):
    train, test, vocabulary = log
    history = sr.HistorySpec()
    examples = data.training_examples(train, objective, history)
    batches = data.session_dataset(examples, vocabulary, history, min_sessions=2)
    model.compile(tf.keras.optimizers.Adam(0.01))
    before = model.candidate_embeddings().numpy()
    history = model.fit(batches, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert np.abs(model.candidate_embeddings().numpy() - before).max() > 1e-3

    queries = data.session_dataset(test, vocabulary, targets="last")
    report = evaluation.evaluate(model, queries, k=5, vocabulary=vocabulary)
    assert report.num_queries > 0
    assert 0 < report.metrics["recall@5"] < 1


@pytest.fixture
def eagerly():
    """Nothing is traced: that takes longer than all the rest on a log this small."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def build(vocabulary, ise="mean", sse="gru", **retrieval):
    tf.keras.utils.set_random_seed(0)
    backbone = models.SessionRecBackbone(
        layers.ItemEmbedding(len(vocabulary), 8), named.ISES[ise](), SSES[sse]()
    )
    task = tasks.NextSessionRetrieval(**{"negatives": "full", **retrieval})
    return models.SessionRec(backbone, task)


# The harness of each layer holds its interface: one pair of each is enough for most runs.
DIAGONAL = list(zip(ISES, itertools.cycle(SSES)))
PAIRS = [
    pytest.param(*pair, marks=[] if pair in DIAGONAL else [pytest.mark.slow])
    for pair in itertools.product(ISES, SSES)
]


@pytest.mark.parametrize(("ise", "sse"), PAIRS)
def test_any_ise_with_any_sse(ise, sse, log, eagerly):
    fit_and_evaluate(build(log[2], ise, sse), log)


@pytest.mark.parametrize(("loss", "negatives"), RETRIEVAL)
def test_any_loss_with_any_negatives(loss, negatives, log, eagerly):
    vocabulary = log[2]
    shares = vocabulary.counts / vocabulary.counts.sum()
    options = {"num_negatives": 6, "candidate_sampling_probability": shares}
    fit_and_evaluate(build(vocabulary, loss=loss, negatives=negatives, **options), log)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("ise", "sse"), [("mean", "hstu"), ("srgnn", "identity")])
def test_any_objective(objective, ise, sse, log, eagerly):
    fit_and_evaluate(build(log[2], ise, sse), log, objective)


@pytest.mark.slow
@pytest.mark.parametrize(("ise", "sse"), DIAGONAL)
def test_each_encoder_is_exported(ise, sse, log, tmp_path):
    vocabulary = log[2]
    model = build(vocabulary, ise, sse)
    limits = {"max_sessions": 3, "max_items": 4, "warm_up_batch_sizes": ()}
    export.export_saved_model(model, tmp_path / "1", vocabulary, **limits)
    export.load_saved_model(tmp_path / "1")
