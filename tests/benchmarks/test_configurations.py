"""The frozen configurations and their derived logs."""

import importlib
import pathlib
import shlex
import shutil
import types

import numpy as np
import polars as pl
import pytest

import tfsessionrec as sr
from tfsessionrec.cli.benchmark.document import render
from tfsessionrec.cli.benchmark.suite import Suite, load_suites
from tfsessionrec.cli.benchmark.trial import Folders, Trial
from tfsessionrec.cli.main import make_parser
from tfsessionrec.cli.train import _options
from tfsessionrec.systems.registry import BASELINES, build_baseline

BENCHMARKS = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"
CONFIGS = BENCHMARKS / "configs"
SUITES = load_suites(CONFIGS)
TRIALS = [trial for suite in SUITES for trial in suite.trials]


@pytest.fixture(autouse=True)
def scripts_import_their_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def script(name: str) -> types.ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: f"{trial.suite}/{trial.name}")
def test_the_commands_of_a_configuration_are_valid(trial: Trial) -> None:
    assert len(set(trial.seeds)) == len(trial.seeds)
    train, *evaluate = (
        make_parser().parse_args(shlex.split(command)) for command in trial.commands(trial.seeds[0])
    )
    assert train.seed == trial.seeds[0]
    assert {asked.model for asked in evaluate} == {train.output}
    options = _options(train.set or ())
    if train.model in BASELINES:
        build_baseline(train.model, options)
        return
    if train.embedding_dim:
        options["embedding_dim"] = train.embedding_dim
    if options.get("negatives") in ("popularity", "mixed", "in_batch"):
        options["candidate_sampling_probability"] = np.full(10, 0.1)
    sr.models.build(train.model, vocabulary_size=10, **options)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_suite_cites_its_own_configurations(suite: Suite) -> None:
    names = {trial.name for trial in suite.trials}
    for table in suite.tables.values():
        cited = {name for pair in table.compare for name in pair}
        assert cited | ({table.example} - {None}) <= names
        table.about.format(num_queries=1, num_candidates=1)
        assert table.metric is None or table.metric in suite.metrics.values()


def test_the_document_matches_the_results(tmp_path: pathlib.Path) -> None:
    shutil.copytree(BENCHMARKS / "results", tmp_path / "results")
    document = render(SUITES, Folders(tmp_path))
    assert document == (BENCHMARKS / "RESULTS.md").read_text(encoding="utf-8")


def test_globo_is_split_by_hours_in_the_order_of_the_file() -> None:
    clicks = [  # hour, session, article, time
        (0, 1, "a", 10),
        (71, 1, "b", 90),
        (71, 7, "b", 80),
        (71, 7, "c", 100),  # when the test begins: not trained on
        (71, 7, "a", 150),
        (72, 9, "a", 100),  # the first test session: c is not in the training data, two clicks stay
        (72, 9, "c", 101),
        (73, 9, "b", 102),
        (72, 5, "a", 103),  # the second: one click remains, so the session is dropped
        (72, 5, "c", 104),
        (80, 2, "b", 105),  # the third exceeds `num_sessions`
        (80, 2, "a", 106),
    ]
    columns = ["hour", "session_id", "click_article_id", "click_timestamp"]
    events = pl.DataFrame(clicks, columns, orient="row")
    globo = script("prepare_globo")
    train, test = globo.split(events, first_test_hour=72, num_sessions=2)
    assert train.rows() == clicks[:3]
    assert test.rows() == [clicks[5], clicks[7]]
    assert globo.counts(test) == (1, 1)
    train, test = globo.split(events, first_test_hour=72, num_sessions=2, published=True)
    assert train.rows() == clicks[:5]
    assert test.rows() == clicks[5:10]
    assert globo.counts(test) == (2, 3)


def test_no_click_in_the_time_of_the_test_of_globo_is_trained_on(
    shared_data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    globo = script("prepare_globo")
    log = shared_data / "globo_clicks_hours_000_095.parquet"
    assert globo.prepare(log, tmp_path) == (17_281, 30_716)
    train, test = (
        pl.read_parquet(tmp_path / f"globo_next_click_{part}.parquet") for part in ("train", "test")
    )
    assert train["click_timestamp"].max() < test["click_timestamp"].min()
    assert globo.prepare(log, tmp_path, published=True) == (19_291, 36_573)


def test_another_log_than_globo_raises(tmp_path: pathlib.Path) -> None:
    events = {
        "hour": [0, 72, 72],
        "session_id": [1, 2, 2],
        "click_article_id": ["a", "a", "a"],
        "click_timestamp": [1, 2, 3],
    }
    pl.DataFrame(events).write_parquet(tmp_path / "log.parquet")
    for published, counts in ((False, r"\(17281, 30716\)"), (True, r"\(19291, 36573\)")):
        with pytest.raises(ValueError, match=rf"should give {counts}.*Received: \(1, 1\)"):
            script("prepare_globo").prepare(tmp_path / "log.parquet", tmp_path / "out", published)
        assert not (tmp_path / "out").exists()


def test_logs_of_shown_and_clicked_items_have_the_same_candidates() -> None:
    events = pl.DataFrame(
        {
            "user_id": ["u", "u", "u"],
            "action_type": ["clickout item", "other", "clickout item"],
            "reference": ["b", "z", "c"],
            "timestamp": [10, 15, 20],
            "impressions": ["a|b", None, "c|b|d"],
        }
    )
    shown, clicked = script("prepare_trivago").split(events)
    rows = shown.filter(pl.col("user_id") == "u").select("item_id", "label", "timestamp").rows()
    assert rows == [("a", 0, 10), ("b", 1, 10), ("c", 1, 20), ("b", 0, 20), ("d", 0, 20)]
    assert clicked.filter(pl.col("user_id") == "u")["item_id"].to_list() == ["b", "c"]

    def train(log: pl.DataFrame) -> sr.data.Sessions:
        sessions = sr.data.sessionize(log, user="user_id", session="session_id", label="label")
        return sr.data.leave_last_session_out(sessions)[0]

    ids = [
        set(sr.data.Vocabulary.from_sessions(train(log)).raw([2, 3, 4, 5]).tolist())
        for log in (shown, clicked)
    ]
    assert ids == [{"a", "b", "c", "d"}] * 2


def test_logs_of_shown_and_clicked_items_have_the_same_target_sessions() -> None:
    rows = pl.DataFrame(
        [  # u: no click in the last session; v: clicks in one session of two; w: one session
            ("u", "1", "a", 1, 0),
            ("u", "2", "a", 2, 1),
            ("u", "3", "b", 3, 1),
            ("u", "4", "a", 4, 0),
            ("v", "5", "a", 1, 0),
            ("v", "6", "b", 2, 1),
            ("w", "7", "b", 1, 1),
        ],
        ["user_id", "session_id", "item_id", "timestamp", "label"],
        orient="row",
    )
    shown, clicked = script("prepare_trivago").with_and_without(
        rows.cast({"label": pl.Int8}),
    )
    users = pl.col("user_id") != "everything"
    assert shown.filter(users)["session_id"].to_list() == ["1", "2", "3", "7"]
    assert clicked.filter(users)["session_id"].to_list() == ["2", "3", "7"]


def test_recent_counts_cover_the_window_and_nothing_later() -> None:
    times = np.array([0.0, 10, 10, 20, 30])
    items = np.array([0, 1, -1, 1, 2])
    counts = [
        counts.tolist()
        for counts in script("recent_popularity").window_counts(
            times, items, 3, at=np.array([0.0, 10, 20, 30, 31]), window=20
        )
    ]
    # [t - 20, t) includes a click at t - 20 and excludes one at t.
    assert counts == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 2, 0], [0, 1, 1]]


def test_ranks_of_several_targets_have_ties_against_them() -> None:
    rank = script("recent_popularity").target_ranks
    scores = np.array([5, 3, 3, 0, 4])
    assert rank(scores, np.array([1])).tolist() == [4]  # after 5, 4 and the other 3
    assert rank(scores, np.array([1, 2])).tolist() == [3, 4]  # targets do not lower each other
    assert rank(scores, np.array([3, 0])).tolist() == [1, 5]


def test_recent_popularity_of_a_log_by_hand() -> None:
    """Two users with two sessions: the clicks in the hour before the last session of each."""
    hour = 3600
    log = pl.DataFrame(
        [  # user, session, item, time
            ("u", 1, "a", 0),
            ("u", 1, "b", 1),
            ("v", 2, "b", 2),
            ("x", 3, "c", hour),
            ("u", 4, "c", hour + 10),  # target: c was clicked within the hour, a and b before
            ("v", 5, "a", 2 * hour + 20),  # target: no click within the hour
        ],
        ["u", "s", "item_id", "timestamp"],
        orient="row",
    )
    sessions = sr.data.sessionize(log, user="u", session="s")
    result = script("recent_popularity").measure(sessions, hours=[1, 3], stale_hours=[1])
    assert (result["queries"], result["candidates"]) == (2, 3)
    # One hour: c has rank 1; a is the last of three ties. Three hours before v's session the counts
    # are a 1, b 2, c 2: a is the last again.
    assert result["hours"]["1"]["mrr@20"] == pytest.approx((1 + 1 / 3) / 2)
    # Three hours before u's session: a 1, b 2, c 1: c is the last.
    assert result["hours"]["3"]["mrr@20"] == pytest.approx((1 / 3 + 1 / 3) / 2)
    # Before u's click on b: a. Before v's: a and b once. So c and a have the ranks 3 and 2.
    assert result["stale hours"]["1"]["mrr@20"] == pytest.approx((1 / 3 + 1 / 2) / 2)
