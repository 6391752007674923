"""What an evaluation asks, and what it counts as seen, follows from log and protocol alone."""

import numpy as np
import polars as pl
import pytest

from tfsessionrec import data, evaluation
from tfsessionrec.baselines import Popularity
from tfsessionrec.history_spec import HistorySpec

SPECS = [
    HistorySpec(),
    HistorySpec(max_sessions=1, max_items=2),
    HistorySpec(max_sessions=2, max_items=1, labels=True),
    HistorySpec(session="item", max_sessions=100),
    HistorySpec(session="item", max_sessions=2),
    HistorySpec(session="whole", max_sessions=1, max_items=3),
]


def some_sessions() -> data.Sessions:
    """40 users with up to 8 sessions of up to 6 items, of which a third was not clicked."""
    random = np.random.default_rng(7)
    rows, time = [], 0
    for user in range(40):
        for session in range(random.integers(1, 9)):
            for _ in range(random.integers(1, 7)):
                time += 1
                item = int(random.zipf(1.5)) % 12
                rows.append((user, session, f"i{item}", time, int(random.random() < 0.67)))
    names = ["user", "session", "item_id", "timestamp", "label"]
    log = pl.DataFrame(rows, schema=names, orient="row")
    return data.sessionize(log, user="user", session="session", label="label")


def oracle(sessions: data.Sessions, protocol: str, k: int, **choices: bool) -> tuple[int, float]:
    """Queries and mean recall@k of popularity, from the rows of the log."""
    ids = data.Vocabulary.from_sessions(sessions)
    counts = {item: ids.counts[ids.lookup([item])[0]] for item in ids.ids.tolist()}
    recalls = []
    for _, events in sessions.events.group_by("user_id", maintain_order=True):
        rows = events.select("session_index", "item_id", "label").rows()
        for at, (session, item, label) in enumerate(rows):
            first = at == 0 or rows[at - 1][0] != session
            if protocol == "next_session":
                asked, targets = (
                    first and session > 0,
                    {i for s, i, c in rows if s == session and c},
                )
            else:
                asked = not first and label == 1 and any(c for _, _, c in rows[:at])
                targets = {item}
                if protocol == "rest_of_session":
                    targets = {i for s, i, c in rows[at:] if s == session and c}
            if not asked:
                continue
            seen = {i for _, i, _ in rows[:at]}
            if not choices["repeats"]:
                targets -= seen
            if not targets:
                continue
            ranked = {i for i in counts if not (choices["filter_seen"] and i in seen)}
            found = [
                target in ranked
                and sum(counts[i] >= counts[target] for i in ranked - {target} - targets)
                + sum(counts[i] > counts[target] for i in (ranked & targets) - {target})
                < k
                for target in targets
            ]
            recalls.append(sum(found) / len(targets))
    return len(recalls), float(np.mean(recalls))


@pytest.mark.parametrize("choices", [(True, True), (False, False), (True, False)])
@pytest.mark.parametrize("protocol", ["next_item", "rest_of_session", "next_session"])
def test_a_baseline_answers_the_same_whatever_the_model_reads(
    protocol: str, choices: tuple[bool, bool]
) -> None:
    sessions = some_sessions()
    vocabulary = data.Vocabulary.from_sessions(sessions)
    model = Popularity(vocabulary.counts)
    found = []
    for spec in SPECS:
        report = evaluation.evaluate(
            model,
            data.protocol_batches(protocol, sessions, vocabulary, spec),
            k=[1, 12],
            vocabulary=vocabulary,
            filter_seen=choices[0],
            repeats=choices[1],
        )
        found.append((report.num_queries, report.num_skipped, *report.metrics.values()))
    np.testing.assert_allclose(found, found[:1] * len(SPECS), rtol=1e-6)


@pytest.mark.parametrize("filter_seen", [False, True])
@pytest.mark.parametrize("protocol", ["next_item", "next_session"])
def test_questions_are_those_of_the_log(protocol: str, filter_seen: bool) -> None:
    sessions = some_sessions()
    vocabulary = data.Vocabulary.from_sessions(sessions)
    choices = {"filter_seen": filter_seen, "repeats": False}
    report = evaluation.evaluate(
        Popularity(vocabulary.counts),
        data.protocol_batches(protocol, sessions, vocabulary, SPECS[1]),
        k=12,
        vocabulary=vocabulary,
        **choices,
    )
    expected = oracle(sessions, protocol, 12, **choices)
    assert (report.num_queries, report["recall@12"]) == pytest.approx(expected)


def visits(items: list[list[str]], others: list[str]) -> data.Sessions:
    """One user's sessions, and anonymous visitors with one item each."""
    rows = [(0, number, item) for number, visit in enumerate(items) for item in visit]
    rows += [(1 + number, 0, item) for number, item in enumerate(others)]
    log = pl.DataFrame(rows, schema=["user", "session", "item_id"], orient="row")
    log = log.with_columns(timestamp=pl.int_range(pl.len()))
    return data.sessionize(log, user="user", session="session")


@pytest.mark.parametrize("limits", [{}, {"static_shapes": True}])
def test_seen_items_are_those_of_the_whole_history(limits: dict[str, bool]) -> None:
    # By popularity a, b, c, d, e, f; the user took a to e, so that f is the best that is left.
    sessions = visits([[item] for item in "abcdef"], list("aaaaabbbbcccdde"))
    vocabulary = data.Vocabulary.from_sessions(sessions)
    recalls = []
    for longest in (50, 2):
        dataset = data.session_dataset(
            sessions, vocabulary, max_sessions=longest, targets="last", min_sessions=2, **limits
        )
        model = Popularity(vocabulary.counts)
        report = evaluation.evaluate(model, dataset, k=1, vocabulary=vocabulary, filter_seen=True)
        recalls.append(report["recall@1"])
    assert recalls == [1.0, 1.0]


def test_a_long_session_counts_all_its_targets() -> None:
    sessions = visits([["a"], [f"x{number}" for number in range(30)]], [])
    vocabulary = data.Vocabulary.from_sessions(sessions)
    report = evaluation.evaluate(
        Popularity(vocabulary.counts),
        data.session_dataset(sessions, vocabulary),  # keeps 20 items of a session
        k=31,
        vocabulary=vocabulary,
        keep_queries=True,
    )
    assert report.queries is not None
    assert len(set(report.queries.targets.tolist())) == 30


def test_a_batch_that_holds_whole_histories_has_no_further_keys() -> None:
    sessions = visits([["a"], ["b"]], [])
    vocabulary = data.Vocabulary.from_sessions(sessions)
    dataset = data.session_dataset(sessions, vocabulary)
    assert not any(name.startswith("history_") for name in dataset.element_spec)
    trained_on = data.session_dataset(sessions, vocabulary, max_sessions=1, seed=0)
    assert not any(name.startswith("history_") for name in trained_on.element_spec)
