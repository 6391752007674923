"""Baselines of whole histories against plain Python."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pytest

from tfsessionrec import data
from tfsessionrec.baselines import TIFUKNN, PersonalPopularity

Log = Mapping[int, Sequence[Sequence[int]]]


def simulated(users: int = 25, seed: int = 0) -> tuple[data.Sessions, Log]:
    """Sessions of 1 to 5 of 30 items, up to 12 a user, and the same as lists of sets."""
    random = np.random.default_rng(seed)
    rows, log = [], {}
    for user in range(users):
        log[user] = []
        for session in range(random.integers(1, 13)):
            items = random.integers(0, 30, random.integers(1, 6)).tolist()
            log[user].append(sorted(set(items)))
            rows += [(user, 100 * user + session, item) for item in items]
    frame = pl.DataFrame(rows, schema=["user_id", "session", "item_id"], orient="row")
    frame = frame.with_columns(timestamp=pl.int_range(pl.len()))
    return data.sessionize(frame, user="user_id", session="session"), log


def test_top_personal_against_counts() -> None:
    sessions, log = simulated()
    vocabulary = data.Vocabulary.from_sessions(sessions, min_count=16)
    known = set(vocabulary.ids.tolist())
    assert 5 < len(known) < 30
    model = PersonalPopularity(top=4).fit(sessions, vocabulary)
    count = collections.Counter(i for own in log.values() for s in own for i in s if i in known)
    popular = sorted(known, key=lambda item: vocabulary.lookup([item])[0])
    popular = sorted(popular, key=lambda item: -count[item])[:4]
    most = max(count.values())
    for history in (log[3], log[8][:2], [[5, 5], [99]], []):
        own = collections.Counter(i for s in history for i in set(s) if i in known)
        right = {i: own[i] + count[i] / (most + 1) for i in {*own, *popular}}
        found = dict(model.recommend(history, k=100))
        assert found.keys() == right.keys()
        for item, score in right.items():
            assert found[item] == pytest.approx(score, rel=1e-6)


def vector(history: Sequence[Sequence[int]], known: set[int], groups: int) -> dict[int, float]:
    """The vector of a history by its definition, group by group."""
    history = [s for s in ([i for i in set(one) if i in known] for one in history) if s]
    groups = min(groups, len(history))
    found: dict[int, float] = collections.defaultdict(float)
    if not history:
        return found
    short, longer = divmod(len(history), groups)
    lengths = [short] * (groups - longer) + [short + 1] * longer
    for number, length in enumerate(lengths):
        group, history = history[:length], history[length:]
        weight = 0.6 ** (groups - 1 - number) / groups
        for place, session in enumerate(group):
            for item in session:
                found[item] += weight * 0.9 ** (length - 1 - place) / length
    return found


@pytest.mark.parametrize("groups", [1, 3, 50])
def test_tifu_knn_against_its_definition(groups: int) -> None:
    sessions, log = simulated()
    vocabulary = data.Vocabulary.from_sessions(sessions, min_count=16)
    known = set(vocabulary.ids.tolist())
    model = TIFUKNN(k=6, groups=groups, group_decay=0.6, alpha=0.3, top=None)
    model.fit(sessions, vocabulary)
    learned = [found for own in log.values() if (found := vector(own, known, groups))]

    def distance(one: dict[int, float], other: dict[int, float]) -> float:
        return sum((one.get(i, 0) - other.get(i, 0)) ** 2 for i in known)

    for history in (log[3], log[8][:4], [[5, 5, 2], [99], [7]]):
        own = vector(history, known, groups)
        near = sorted(learned, key=lambda other, own=own: distance(own, other))[:6]
        right = {i: 0.3 * own.get(i, 0) + 0.7 * sum(v.get(i, 0) for v in near) / 6 for i in known}
        right = {item: score for item, score in right.items() if score}
        found = dict(model.recommend(history, k=100))
        assert found.keys() == right.keys()
        for item, score in right.items():
            assert found[item] == pytest.approx(score, rel=1e-5)
    assert model.recommend([[99]]) == []


def test_tifu_knn_by_hand() -> None:
    """Own vector: jam 1. Both users are near: tea (0.35 + 0.35) / 2, cup 0.5 / 2, jam 0.5 / 2."""
    frame = {
        "user_id": [1, 1, 2, 2],
        "item_id": ["tea", "cup", "tea", "jam"],
        "timestamp": [1, 2, 3, 4],
    }
    sessions = data.sessionize(pl.DataFrame(frame), user="user_id", gap=0)
    model = TIFUKNN(k=2, top=2).fit(sessions, data.Vocabulary.from_sessions(sessions))
    (first, jam), (second, tea) = model.recommend([["jam"]])
    assert (first, second) == ("jam", "tea")
    assert jam == pytest.approx(0.7 + 0.3 * 0.25)
    assert tea == pytest.approx(0.3 * 0.35)


@pytest.mark.parametrize("model", [PersonalPopularity(top=3), TIFUKNN(k=2, groups=2, top=5)])
def test_batches_save_and_load(model: PersonalPopularity | TIFUKNN, tmp_path) -> None:
    """A batch of prefixes of histories has the scores of each alone, before and after saving."""
    sessions, log = simulated(seed=1)
    model.fit(sessions, data.Vocabulary.from_sessions(sessions))
    batches = data.session_dataset(sessions, model.vocabulary, batch_size=25, shuffle=False)
    features = {"item_ids": next(iter(batches))["item_ids"].numpy()}
    rows, positions = np.array([0, 4, 4, 7]), np.array([1, 0, 2, -1])
    rows, positions = rows[:], np.minimum(positions, [len(log[r]) - 1 for r in rows])
    found = model.sparse_scores(features, rows, positions).toarray()
    for row, position, scores in zip(rows, positions, found, strict=True):
        alone = {"item_ids": features["item_ids"][row : row + 1, : position + 1]}
        if position >= 0:
            np.testing.assert_allclose(model.score(alone)[0], scores, rtol=1e-6)
    model.save(tmp_path / "model.npz")
    twin = type(model).load(tmp_path / "model.npz")
    assert twin.get_config() == model.get_config()
    np.testing.assert_array_equal(twin.score(features), model.score(features))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (PersonalPopularity, {"top": 0}, "`top` should be"),
        (TIFUKNN, {"k": 0}, "`k` should be a positive integer"),
        (TIFUKNN, {"alpha": 1.5}, "`alpha` should be from 0 to 1. Received: `alpha`=1.5"),
        (TIFUKNN, {"within_decay": "a"}, "`within_decay` should be from 0 to 1"),
    ],
)
def test_arguments(kind: type, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**arguments)
