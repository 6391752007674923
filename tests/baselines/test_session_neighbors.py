"""The neighbor methods, against plain Python on small logs."""

import math

import numpy as np
import pytest

from tfsessionrec import data
from tfsessionrec.baselines import SKNN, STAN, VSKNN, VSTAN

PLACE = {
    "same": lambda p, length: 1,
    "div": lambda p, length: p / length,
    "linear": lambda p, length: max(1 - (length - p) / 10, 0),
    "quadratic": lambda p, length: (p / length) ** 2,
    "log": lambda p, length: 1 / math.log10(length - p + 1.7),
}
STEP = {
    "same": lambda d: 1,
    "div": lambda d: 1 / d,
    "linear": lambda d: max(1 - d / 10, 0),
    "quadratic": lambda d: 1 / d**2,
    "log": lambda d: 1 / math.log10(d + 1.7),
}


def last_places(items):
    return {item: place for place, item in enumerate(items, start=1)}


def fall(distance, scale):
    return 1 if scale is None else math.exp(-distance / scale)


def similarity(model, query, time, session):
    _, end, items = session
    held, mine = set(items), last_places(query)
    common = held & set(mine)
    if isinstance(model, STAN):
        total = sum(fall(len(query) - mine[item], model.lambda_spw) for item in common)
    elif isinstance(model, VSKNN):
        total = sum(PLACE[model.weighting](mine[item], len(query)) for item in common)
    else:
        total = len(common)
    total /= {
        "vec": len(mine),
        "cosine": math.sqrt(len(mine) * len(held)),
        "jaccard": len(held | set(mine)),
        "dice": (len(mine) + len(held)) / 2,
    }[model.similarity]
    if isinstance(model, STAN) and model.lambda_snh is not None:
        total *= fall(max(time - end, 0), model.lambda_snh * 86_400)
    return total


def neighbors(model, query, time, learned):
    """(similarity, session) of the neighbors, found by sorting."""
    recent = sorted(learned, key=lambda session: (session[1], session[0]), reverse=True)
    sample = [session for session in recent if set(session[2]) & set(query)][: model.sample_size]
    found = [(similarity(model, query, time, session), session) for session in sample]
    # `sorted` is stable: ties go to the more recent.
    found = sorted((pair for pair in found if pair[0] > 0), key=lambda pair: -np.float32(pair[0]))
    return found[: model.k]


def contributions(model, query, time, learned):
    """{item: [(contribution, session)]}."""
    added = {}
    for near, session in neighbors(model, query, time, learned):
        theirs, mine = last_places(session[2]), last_places(query)
        star = max((item for item in mine if item in theirs), key=mine.get)
        step = len(query) - mine[star] + 1
        for item in theirs:
            weight = near
            count = sum(items.count(item) for _, _, items in learned)
            idf = max(math.log(len(learned) / count), 0)
            if isinstance(model, VSKNN):
                weight *= STEP[model.weighting_score](step) * (1 + model.idf_weighting * idf)
            if isinstance(model, STAN):
                weight *= fall(abs(theirs[item] - theirs[star]), model.lambda_inh)
            if isinstance(model, VSTAN):
                weight *= fall(step - 1, model.lambda_ipw) * (1 + (model.lambda_idf or 0) * idf)
            if (model.remind or item not in mine) and weight > 0:
                added.setdefault(item, []).append((weight, session))
    return added


def expected(model, queries, times, learned, size):
    scores = np.zeros((len(queries), size))
    for row, (query, time) in enumerate(zip(queries, times)):
        for item, parts in contributions(model, query, time, learned).items():
            scores[row, item] = sum(weight for weight, _ in parts)
    return scores


MODELS = [
    lambda: SKNN(),
    lambda: SKNN(k=5, sample_size=12),
    *(lambda name=name: SKNN(k=7, similarity=name) for name in ("jaccard", "dice", "vec")),
    lambda: VSKNN(),
    lambda: VSKNN(k=4, sample_size=None, idf_weighting=2.0, remind=False),
    lambda: VSKNN(k=6, sample_size=8, similarity="cosine"),
    lambda: VSKNN(k=3, last_n_items=2),
    *(lambda name=name: VSKNN(9, weighting=name, weighting_score=name) for name in PLACE),
    lambda: STAN(),
    lambda: STAN(k=5, sample_size=15, remind=False),
    lambda: STAN(k=5, lambda_spw=None, lambda_snh=None, lambda_inh=None),
    lambda: STAN(k=8, similarity="vec", lambda_spw=3, lambda_snh=0.5, lambda_inh=1),
    lambda: VSTAN(),
    lambda: VSTAN(k=6, sample_size=20, lambda_ipw=4.0, lambda_idf=None),
    lambda: VSTAN(k=6, lambda_ipw=None, lambda_idf=0.5),
]


def seen(model, queries):
    last = getattr(model, "last_n_items", None)
    return [query[-last:] if last else query for query in queries]


@pytest.mark.parametrize("string_ids", [False, True])
@pytest.mark.parametrize("make", MODELS)
def test_like_sorting(
    make, string_ids, random_sessions, random_queries, by_session, running, monkeypatch
):
    monkeypatch.setattr("tfsessionrec.baselines.session_neighbors._TOGETHER", 7)
    sessions = random_sessions(11, string_ids=string_ids)
    vocabulary = data.Vocabulary.from_sessions(sessions, min_count=14, num_oov_indices=2)
    assert vocabulary.num_items < 12  # some are unknown
    features = random_queries(12, vocabulary)
    model = make().fit(sessions, vocabulary)
    queries = seen(model, running(features, vocabulary))
    assert [] in queries
    scores = model.sparse_scores(features)
    assert scores.dtype == np.float32
    assert scores.has_sorted_indices
    learned = by_session(sessions, vocabulary)
    np.testing.assert_allclose(
        scores.toarray(),
        expected(model, queries, features["request_times"], learned, len(vocabulary)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("make", [*MODELS, lambda: SKNN(k=5, sample_size=9, sampling="random")])
@pytest.mark.parametrize("step", [1, 40])
def test_learning_more_is_learning_everything(
    make, step, random_sessions, random_queries, split_log, tmp_path
):
    sessions = random_sessions(13, num_users=40)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    features = random_queries(14, vocabulary)
    start, rest = split_log(sessions)
    model = make().fit(start, vocabulary)
    for first in range(0, len(rest), step):
        model.update(rest[first : first + step])
        if first == len(rest) // 2 // step * step:
            model.sparse_scores(features)
    whole = make().fit(sessions, vocabulary).sparse_scores(features).toarray()
    np.testing.assert_array_equal(model.sparse_scores(features).toarray(), whole)
    model.save(tmp_path / "model.npz")
    again = type(model).load(tmp_path / "model.npz")
    assert again.get_config() == model.get_config() == make().get_config()
    np.testing.assert_array_equal(again.sparse_scores(features).toarray(), whole)


def test_sessions_that_end_late_or_together(random_sessions, random_queries):
    """Users in any order, so that some sessions ended before known ones."""
    sessions = random_sessions(15, num_users=40)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    features = random_queries(16, vocabulary)
    whole = VSKNN(k=5, sample_size=9).fit(sessions, vocabulary).sparse_scores(features)
    users = sessions.events["user_id"].unique(maintain_order=True).reverse()
    model = VSKNN(k=5, sample_size=9).fit(sessions.filter_users(users[:3]), vocabulary)
    for user in users[3:]:
        model.update(sessions.filter_users([user]).events)
    np.testing.assert_array_equal(model.sparse_scores(features).toarray(), whole.toarray())


def test_a_grown_index_is_rebuilt(random_sessions, random_queries, split_log):
    sessions = random_sessions(17, num_users=700)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    start, rest = split_log(sessions)
    model = VSKNN().fit(start, vocabulary)
    longest = 0
    for first in range(0, len(rest), 25):
        model.update(rest[first : first + 25])
        longest = max(longest, len(model._index.arrays().alive))
    alive = sessions.events.select("user_id", "session_index").n_unique()
    assert len(model._index.arrays().alive) < longest <= 2 * alive + 1024
    features = random_queries(18, vocabulary)
    whole = VSKNN().fit(sessions, vocabulary).sparse_scores(features)
    np.testing.assert_array_equal(model.sparse_scores(features).toarray(), whole.toarray())


@pytest.mark.parametrize("make", MODELS)
def test_explanations_add_up(make, random_sessions, by_session):
    sessions = random_sessions(19)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    model = make().fit(sessions, vocabulary)
    history = ["i3", "i5", "i3", "i1"]
    query = seen(model, [vocabulary.lookup(history).tolist()])[0]
    time = 80 * 3600.0
    scores = model.recommend(history, k=12, time=time)
    assert scores
    learned = by_session(sessions, vocabulary)
    parts = contributions(model, query, time, learned)
    items = {name: items for name, _, items in learned}
    for item, score in scores:
        reasons = model.explain(history, item, n=None, time=time)
        assert sum(reason.contribution for reason in reasons) == pytest.approx(score, rel=1e-5)
        added = [reason.contribution for reason in reasons]
        assert added == sorted(added, reverse=True)
        wanted = parts[int(vocabulary.lookup([item])[0])]
        named = {(reason.user_id, reason.session_index): reason for reason in reasons}
        assert set(named) == {session[0] for _, session in wanted}
        for weight, (name, end, held) in wanted:
            assert named[name].contribution == pytest.approx(weight)
            assert named[name].similarity == pytest.approx(
                similarity(model, query, time, (name, end, held))
            )
            assert named[name].time == end
            assert named[name].items == tuple(vocabulary.raw(items[name]))
            assert item in named[name].items
            assert named[name].session_id == int(name[0][1:]) * 10 + name[1]
        assert [reason.contribution for reason in model.explain(history, item, 2, time=time)] == (
            added[:2]
        )


def test_no_explanation_without_a_score(random_sessions):
    sessions = random_sessions(20)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    model = SKNN(remind=False).fit(sessions, vocabulary)
    assert model.explain(["i3"], "i3") == []
    assert model.explain([], "i3") == []
    with pytest.raises(ValueError, match="`item` should be an item of the vocabulary"):
        model.explain(["i3"], "gin")
    with pytest.raises(ValueError, match="`n` should be a positive integer"):
        model.explain(["i3"], "i4", n=0)


def test_the_default_time_is_the_latest_learned(random_sessions):
    sessions = random_sessions(21)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    model = STAN().fit(sessions, vocabulary)
    latest = sessions.events.filter(sessions.events["label"] == 1)["timestamp"].max()
    assert model.recommend(["i3"]) == model.recommend(["i3"], time=latest)
    assert model.recommend(["i3"]) != model.recommend(["i3"], time=latest + 86_400)


def test_size_and_seed_of_a_random_sample(random_sessions):
    sessions = random_sessions(22, num_users=60)
    vocabulary = data.Vocabulary.from_sessions(sessions)

    def names(**arguments):
        model = SKNN(k=1000, **arguments).fit(sessions, vocabulary)
        return {
            (reason.user_id, reason.session_index) for reason in model.explain(["i3"], "i3", n=None)
        }

    every = names(sample_size=None)
    first = names(sample_size=10, sampling="random", seed=1)
    assert len(every) > 20
    assert len(first) == 10
    assert first < every
    assert first == names(sample_size=10, sampling="random", seed=1)
    assert first != names(sample_size=10, sampling="random", seed=2)
    assert first != names(sample_size=10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SKNN(k=0), "`k` should be a positive integer"),
        (lambda: SKNN(sample_size=0), "`sample_size` should be a positive integer"),
        (lambda: SKNN(sampling="old"), "`sampling` should be one of recent, random"),
        (lambda: SKNN(similarity="dot"), "`similarity` should be one of vec, cosine"),
        (lambda: VSKNN(weighting="cubic"), "`weighting` should be one of same"),
        (lambda: VSKNN(weighting_score="cubic"), "`weighting_score` should be one of same"),
        (lambda: VSKNN(idf_weighting=-1), "`idf_weighting` should be finite and not negative"),
        (lambda: VSKNN(last_n_items=0), "`last_n_items` should be a positive integer"),
        (lambda: STAN(lambda_spw=0), "`lambda_spw` should be positive or None"),
        (lambda: STAN(lambda_snh=-1), "`lambda_snh` should be positive or None"),
        (lambda: STAN(lambda_inh=float("nan")), "`lambda_inh` should be positive or None"),
        (lambda: VSTAN(lambda_ipw=0), "`lambda_ipw` should be positive or None"),
        (lambda: VSTAN(lambda_idf=-1), "`lambda_idf` should be finite and not negative, or None"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
