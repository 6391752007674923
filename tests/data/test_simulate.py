import dataclasses

import numpy as np
import polars as pl
import pytest

from tfsessionrec.data import Vocabulary, sessionize, simulate
from tfsessionrec.data.simulation import Site


@pytest.fixture(scope="module")
def simulation():
    return simulate(seed=3)


class Tables:
    """The log as matrices [users, items]: the last sessions, and decayed counts before them."""

    def __init__(self, simulation, decay=0.85):
        log = simulation.events.with_columns(
            step=pl.col("session_id").rank("dense").over("user_id").cast(pl.Int64),
        ).with_columns(age=pl.col("step").max().over("user_id") - pl.col("step"))
        shape = len(simulation.user_ids), len(simulation.item_ids)
        users = log["user_id"].str.slice(1).cast(pl.Int64).to_numpy()
        items = log["item_id"].str.slice(1).cast(pl.Int64).to_numpy()
        label, age = log["label"].to_numpy() == 1, log["age"].to_numpy()

        def table(where, weight):
            counts = np.zeros(shape)
            np.add.at(counts, (users[where], items[where]), weight[where])
            return counts

        ones = np.ones(len(log))
        self.shown = table(age == 0, ones) > 0
        self.clicked = table((age == 0) & label, ones) > 0
        self.positives = table((age > 0) & label, decay**age)
        self.negatives = table((age > 0) & ~label, decay**age)
        self.popularity = table((age > 0) & label, ones).sum(0)


def ndcg(scores, targets, k=20):
    scores, targets = scores[targets.any(1)], targets[targets.any(1)]
    top = np.argsort(-scores, axis=1)[:, :k]
    gains = np.take_along_axis(targets, top, axis=1) / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))[np.minimum(targets.sum(1), k) - 1]
    return (gains.sum(1) / ideal).mean()


def recall(scores, targets, k=20):
    scores, targets = scores[targets.any(1)], targets[targets.any(1)]
    top = np.argsort(-scores, axis=1)[:, :k]
    return (np.take_along_axis(targets, top, axis=1).sum(1) / targets.sum(1)).mean()


def co_occurrence(tables):
    together = tables.positives.T @ tables.positives
    norm = np.sqrt(np.diag(together) + 10)
    np.fill_diagonal(together, 0)
    return tables.positives @ (together / norm[:, None])


@pytest.fixture(scope="module")
def tables(simulation):
    return Tables(simulation)


def test_the_seed_decides_everything():
    first, again, other = (simulate(num_users=50, num_items=40, seed=s) for s in (1, 1, 2))
    assert first.events.equals(again.events)
    assert not first.events.equals(other.events)
    np.testing.assert_array_equal(first.true_probabilities(), again.true_probabilities())


def test_the_log(simulation):
    log = simulation.events
    assert log.schema == {
        "user_id": pl.String,
        "session_id": pl.Int64,
        "item_id": pl.String,
        "timestamp": pl.Int64,
        "label": pl.Int8,
    }
    assert log["user_id"].n_unique() == 3000
    assert log["item_id"].n_unique() == 800
    assert log["item_id"].str.contains(r"^i\d{5}$").all()
    sessions = log.group_by("session_id").agg(
        pl.col("user_id").n_unique(), shown=pl.len(), items=pl.col("item_id").n_unique()
    )
    assert (sessions["user_id"] == 1).all()
    assert (sessions["items"] == sessions["shown"]).all()  # an item is shown once a session
    assert abs(len(sessions) / 3000 - 9) < 0.2
    assert 9 < sessions["shown"].mean() < 10.2
    assert 0.2 < log["label"].mean() < 0.5


def test_an_hour_of_silence_separates_the_sessions_too(simulation):
    log = simulation.events
    given = sessionize(log, user="user_id", session="session_id", label="label").events
    found = sessionize(log, user="user_id", gap="1h", label="label").events
    assert given.drop("session_id").equals(found.drop("session_id"))


def test_any_size():
    tiny = simulate(num_users=1, num_items=1, slate_size=1, seed=0)
    assert tiny.events["item_id"].unique().to_list() == ["i00000"]
    assert tiny.true_probabilities().shape == (1, 1)
    # More cells than one block holds.
    wide = simulate(num_users=300, num_items=20_000, sessions_per_user=2, seed=0)
    assert wide.events["user_id"].n_unique() == 300
    assert 8 < len(wide.events) / 600 < 10.5


def test_clicks_follow_the_stated_probabilities(simulation, tables):
    probabilities = simulation.true_probabilities()
    assert probabilities.dtype == np.float32
    # Sums of independent draws: within 4.5 standard deviations, overall and in each tenth of the
    # clicks ordered by probability.
    order = np.argsort(probabilities, axis=None)
    p = probabilities.reshape(-1)[order].astype(np.float64)
    y = tables.clicked.reshape(-1)[order]
    for part in np.split(
        np.arange(len(p)), np.searchsorted(p.cumsum() / p.sum(), np.r_[0.1:1:0.1])
    ):
        expected, deviation = p[part].sum(), np.sqrt((p[part] * (1 - p[part])).sum())
        assert abs(y[part].sum() - expected) < 4.5 * deviation
    assert abs(y.sum() - p.sum()) < 4.5 * np.sqrt((p * (1 - p)).sum())


def test_probability_by_hand():
    # Two items of equal popularity; the site likes the first by log 3, the user is indifferent to
    # it and odds of e² : 1 click the second: shown 1.5 · (3/4, 1/4), capped at 1.
    simulation = dataclasses.replace(
        simulate(num_users=1, num_items=2, slate_size=1.5, seed=0),
        site=Site(
            item_factors=np.array([[0.0, np.log(3)], [1.0, 0.0]], np.float32),
            popularity=np.array([0.5, 0.5], np.float32),
            slate_size=1.5,
            targeting=1.0,
            taste=1.0,
            click_bias=0.0,
        ),
        last_interests=np.array([[2.0, 0.0]], np.float32),
        last_exposure=np.array([[0.0, 1.0]], np.float32),
    )
    np.testing.assert_allclose(
        simulation.true_probabilities(), [[1 * 0.5, 0.375 / (1 + np.exp(-2))]], rtol=1e-6
    )


def test_users_and_columns_of_the_truth(simulation):
    everything = simulation.true_probabilities()
    some = simulation.true_probabilities(["u00007", "u00002"])
    np.testing.assert_allclose(some, everything[[7, 2]], rtol=1e-5)

    vocabulary = Vocabulary(["i00004", "i00000", "not in the catalogue"], num_oov_indices=2)
    columns = simulation.true_probabilities(["u00007"], vocabulary)
    np.testing.assert_allclose(
        columns[0], [0, 0, 0, everything[7, 4], everything[7, 0], 0], rtol=1e-5
    )
    with pytest.raises(ValueError, match=r"users of this simulation. Received: 'eve'"):
        simulation.true_probabilities(["u00007", "eve"])


def test_no_ranking_beats_the_truth(simulation, tables):
    truth = simulation.true_probabilities()
    rng = np.random.default_rng(0)
    shown, clicked = simulation.site.probabilities(
        simulation.last_interests, simulation.last_exposure
    )
    rivals = {
        "shown only": shown,
        "clicked if shown": clicked,
        "noisy": truth * np.exp(0.5 * rng.standard_normal(truth.shape)),
        "popularity": np.tile(tables.popularity, (len(truth), 1)),
        "co-occurrence": co_occurrence(tables),
    }
    for metric in (ndcg, recall):
        best = metric(truth, tables.clicked)
        for name, scores in rivals.items():
            assert metric(scores, tables.clicked) < best, name


def test_there_is_something_to_learn(simulation, tables):
    popularity = ndcg(np.tile(tables.popularity, (3000, 1)), tables.clicked)
    assert ndcg(co_occurrence(tables), tables.clicked) > 2 * popularity
    assert ndcg(simulation.true_probabilities(), tables.clicked) > 3.5 * popularity


def test_what_was_shown_in_vain_tells_about_the_next_session(simulation, tables):
    def taste(counts):
        return counts @ simulation.item_factors / (counts.sum(1, keepdims=True) + 3)

    def share_right(user_factors):
        """Share of (clicked, not clicked) pairs of a last session in the right order."""
        scores = user_factors @ simulation.item_factors.T
        right = total = 0
        for row in range(len(scores)):
            clicked = scores[row, tables.clicked[row]]
            passed = scores[row, tables.shown[row] & ~tables.clicked[row]]
            right += (clicked[:, None] > passed).sum()
            total += len(clicked) * len(passed)
        return right / total

    positives, negatives = taste(tables.positives), taste(tables.negatives)
    assert share_right(positives) > 0.65
    assert share_right(positives - negatives) > share_right(positives) + 0.02


def test_drift_makes_history_worth_less():
    def gain(drift):
        simulation = simulate(drift=drift, exposure_noise=0, num_users=1500, seed=4)
        tables = Tables(simulation)
        popularity = np.tile(tables.popularity, (1500, 1))
        return ndcg(co_occurrence(tables), tables.clicked) / ndcg(popularity, tables.clicked)

    steady, drifting, forgetful = gain(0.0), gain(0.3), gain(1.0)
    assert steady > 1.1 * drifting > 1.2 * forgetful
    assert forgetful < 1.1


@pytest.mark.parametrize(("skew", "share"), [(0.0, 0.1), (1.0, 0.64)])
def test_popularity_skew(skew, share):
    # Share of the most popular tenth: sum of 1/n to 80 over the sum to 800 is 0.68 for skew 1, a
    # little less as no item is shown more than once a session.
    simulation = simulate(popularity_skew=skew, targeting=0, num_users=1000, seed=5)
    counts = simulation.events["item_id"].value_counts(sort=True)["count"].to_numpy()
    assert counts[:80].sum() / counts.sum() == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_users": 0}, "`num_users` should be a positive integer. Received: .*=0"),
        ({"num_items": 2.0}, "`num_items` should be a positive integer. Received: .*=2.0"),
        ({"dim": -1}, "`dim` should be a positive integer"),
        ({"drift": 1.5}, r"`drift` should be in \[0, 1\]. Received: .*=1.5"),
        ({"exposure_noise": -0.1}, r"`exposure_noise` should be in \[0, 1\]"),
        ({"sessions_per_user": 1}, "`sessions_per_user` should be at least 2"),
        ({"slate_size": 0}, "`slate_size` should be positive and at most `num_items`"),
        ({"slate_size": 11, "num_items": 10}, "`slate_size` should be positive and at most"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate(**arguments)
