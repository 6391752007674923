"""The file of recommendations has for every user what one request and what an export give."""

import json
import pathlib

import polars as pl
import pytest

import tfsessionrec as sr
from tfsessionrec.cli.main import main
from tfsessionrec.export import load_saved_model

COLUMNS = {"user": "user_id", "session": "session_id"}
QUICK = ("sessionrec-sasrec", "sasrec", "stamp", "two-tower", *sr.systems.BASELINES)
NAMES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in sr.systems.names()
    if "hstu" not in name  # reads times, which a request of the command does not have
]


@pytest.fixture(scope="module")
def clicks() -> pl.DataFrame:
    """A log in which a user has up to 9 sessions, and one user only an item that is unknown."""
    log = sr.data.simulate(num_users=40, num_items=30, seed=4).events
    log = log.filter(pl.col("label") == 1).select("user_id", "session_id", "item_id", "timestamp")
    rare = {"user_id": "zz", "session_id": 999_999, "item_id": "rare", "timestamp": 0}
    return pl.concat([log, pl.DataFrame([rare]).cast(log.schema)])


def fit(name: str, log: pl.DataFrame, **more: object) -> sr.systems.TrainedSystem:
    options: dict[str, object] = {} if name in sr.systems.BASELINES else {
        "embedding_dim": 8, "epochs": 1
    }  # fmt: skip
    return sr.systems.fit(name, log, **COLUMNS, min_count=2, **options, **more)


def histories(log: pl.DataFrame) -> dict[str, list[list[str]]]:
    rows = log.sort("user_id", "session_id", "timestamp", maintain_order=True)
    found: dict[str, dict[int, list[str]]] = {}
    for user, session, item, _time in rows.iter_rows():
        found.setdefault(user, {}).setdefault(session, []).append(item)
    return {user: list(sessions.values()) for user, sessions in found.items()}


def lists(rows: pl.DataFrame, key: str = "user") -> dict[object, list[tuple[str, float]]]:
    assert rows.columns == [key, "rank", "item", "score"]
    found: dict[object, list[tuple[str, float]]] = {}
    for user, rank, item, score in rows.iter_rows():
        found.setdefault(user, []).append((item, score))
        assert rank == len(found[user])
    return found


def assert_same(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    """Equal scores within rounding, and the same items but where scores are that near."""
    assert [score for _, score in found] == pytest.approx(
        [score for _, score in expected], rel=1e-5, abs=1e-5
    )
    scores = dict(expected)
    for item, score in found:
        if item in scores:
            assert scores[item] == pytest.approx(score, rel=1e-5, abs=1e-5)
        else:
            assert score == pytest.approx(expected[-1][1], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_system_gives_what_a_request_gives(
    name: str, clicks: pl.DataFrame, tmp_path: pathlib.Path
) -> None:
    if name == "als":
        pytest.importorskip("implicit")
    system = fit(name, clicks)
    out = tmp_path / "recs.parquet"
    for filter_seen in (False, True):
        rows = system.recommend_all(clicks, out, 6, filter_seen=filter_seen)
        found = lists(pl.read_parquet(out))
        assert rows == sum(map(len, found.values()))
        for user, sessions in histories(clicks).items():
            expected = system.recommend(sessions, 6, filter_seen=filter_seen)
            assert_same(found.get(user, []), expected)
    assert len(found) > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sessionrec-hstu", "sasrec"])
def test_an_export_gives_the_same(name: str, clicks: pl.DataFrame, tmp_path: pathlib.Path) -> None:
    system = fit(name, clicks)
    system.recommend_all(clicks, tmp_path / "recs.csv", 5, filter_seen=True, exclude=["i00001"])
    found = lists(pl.read_csv(tmp_path / "recs.csv"))
    export = load_saved_model(system.export(tmp_path / "1", warm_up_batch_sizes=()))
    rows = clicks.sort("user_id", "session_id", "timestamp", maintain_order=True)
    for (user,), own in rows.group_by("user_id", maintain_order=True):
        times = {"timestamps": own["timestamp"].to_list()} if "hstu" in name else {}
        expected = export.recommend(
            own["item_id"].to_list(),
            own["session_id"].to_list(),
            k=5,
            exclude_seen=True,
            exclude_ids=["i00001"],
            **times,
        )
        assert_same(found[user], expected)


@pytest.mark.slow
def test_a_trend_counts_the_events_of_the_log(clicks: pl.DataFrame, tmp_path: pathlib.Path) -> None:
    trend = {"half_lives": [3600], "refresh": 60}
    system = fit("sasrec", clicks, trend=trend)
    system.model.trend.gate.bias.assign([2.0, 1.0])
    system.recommend_all(clicks, tmp_path / "recs.parquet", 6, allow=["i00003", "i00002", "i00009"])
    found = lists(pl.read_parquet(tmp_path / "recs.parquet"))
    time = system.last_tick(system.read(clicks))
    for user, sessions in list(histories(clicks).items())[:8]:
        every = system.recommend(sessions, 30, time=time)
        expected = [pair for pair in every if pair[0] in ("i00003", "i00002", "i00009")]
        assert_same(found[user], expected)


@pytest.mark.slow
def test_windows_and_formats_do_not_matter(
    clicks: pl.DataFrame, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    system = fit("sessionrec-sasrec", clicks)
    system.recommend_all(clicks, tmp_path / "recs.parquet", 4)
    whole = pl.read_parquet(tmp_path / "recs.parquet")
    module = sys.modules["tfsessionrec.evaluation.recommend"]
    monkeypatch.setattr(module, "_WINDOW", 7)
    monkeypatch.setattr(sys.modules["tfsessionrec.data.history_batches"], "_POSITIONS", 20)
    for name, read in (
        ("csv", pl.read_csv),
        ("jsonl", pl.read_ndjson),
        ("parquet", pl.read_parquet),
    ):
        path = tmp_path / "new" / f"small.{name}"
        assert system.recommend_all(clicks, path, 4) == len(whole)
        small = read(path)
        assert small.select("user", "rank").rows() == whole.select("user", "rank").rows()
        for user, expected in lists(whole).items():
            assert_same(lists(small)[user], expected)
        assert [one.name for one in path.parent.iterdir() if one.name.startswith(".")] == []


def test_an_error_leaves_the_earlier_file(
    clicks: pl.DataFrame, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    system = fit("popularity", clicks)
    path = tmp_path / "recs.csv"
    path.write_text("earlier")
    module = sys.modules["tfsessionrec.evaluation.recommend"]
    monkeypatch.setattr(module, "_WINDOW", 7)
    rows_of, calls = module._rows, []

    def breaks(*arguments: object) -> pl.DataFrame:
        calls.append(1)
        if len(calls) == 3:
            raise OSError("disk full")
        return rows_of(*arguments)

    monkeypatch.setattr(module, "_rows", breaks)
    with pytest.raises(OSError, match="disk full"):
        system.recommend_all(clicks, path)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": "recs.txt"}, r"`output` should be a file that ends in .parquet.*'recs.txt'"),
        ({"k": 0}, "`k` should be a positive integer"),
        ({"exclude": "i00001"}, "`exclude` should be a list of raw ids"),
        ({"allow": ["nothing"]}, "should leave an item to recommend"),
    ],
)
def test_wrong_arguments(clicks: pl.DataFrame, arguments: dict, message: str) -> None:
    system = fit("popularity", clicks)
    with pytest.raises(ValueError, match=message):
        system.recommend_all(clicks, **{"output": "recs.csv", **arguments})


def test_the_command(
    clicks: pl.DataFrame, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, model, out = tmp_path / "log.csv", tmp_path / "model", tmp_path / "recs.parquet"
    clicks.write_csv(log)
    train = f"--events {log} --user user_id --session session_id --model vsknn --output {model}"
    assert main(["train", *train.split()]) == 0
    (tmp_path / "sold_out.txt").write_text("i00001\ni00002\n")
    rules = f"--k 5 --exclude i00003 --unavailable {tmp_path / 'sold_out.txt'} --exclude-seen"
    command = ["recommend", "--model", f"{model}", *rules.split()]
    more = ["--events", f"{log}", "--output", f"{out}", "--json", f"{tmp_path / 'said.json'}"]
    assert main([*command, *more]) == 0
    found = lists(pl.read_parquet(out))
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["rows"] == sum(map(len, found.values()))
    assert f"{said['rows']:,} rows, 41 users" in capsys.readouterr().out
    for user, sessions in list(histories(clicks).items())[:10]:
        items = [item for session in sessions for item in session]
        numbers = [str(n) for n, session in enumerate(sessions) for _ in session]
        asked = ["--items", ",".join(items), "--sessions", ",".join(numbers)]
        assert main([*command, *asked, "--json", f"{tmp_path / 'one.json'}"]) == 0
        one = json.loads((tmp_path / "one.json").read_text())["recommended"]
        assert_same(found[user], [(row["item"], row["score"]) for row in one])
        assert not {"i00001", "i00002", "i00003"} & {row["item"] for row in one}
    for wrong, message in (
        (["--events", f"{log}"], "`--events` and `--output` should be given together"),
        ([*more, "--sessions", "0"], "`--sessions` should be given with `--items`"),
        ([*more, "--diversity", "0.5"], "--diversity should be given with an export"),
    ):
        assert main([*command, *wrong]) == 2
        assert message in capsys.readouterr().err


def test_sessions_of_visitors(clicks: pl.DataFrame, tmp_path: pathlib.Path) -> None:
    log = clicks.drop("user_id")
    system = sr.systems.fit("popularity", log, session="session_id")
    system.recommend_all(log, tmp_path / "recs.parquet", 2)
    found = lists(pl.read_parquet(tmp_path / "recs.parquet"), "session")
    assert set(found) == set(log["session_id"])
