"""`tfsessionrec inspect`: what it guesses, what it counts, and that its command runs."""

import json
import pathlib
import shlex

import pytest

from tfsessionrec.cli.main import main
from tfsessionrec.data import LogColumns, LogFormat, inspect_log


@pytest.fixture
def log(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two users: a session of 1,000 clicks, sessions with repeats, a missing item, a row twice."""
    rows = [f"bot;7;{1_700_000_000_000 + second}" for second in range(1000)]
    rows += ["ann;7;1700000000000", "ann;7;1700000001000", "ann;8;1700000002000"]
    rows += ["ann;7;1700000003000", "ann;7;1700000003000", "ann;;1700000004000"]
    rows += ["ann;9;1700009000000"]
    path = tmp_path / "my log.csv"
    path.write_text("\n".join(["visitorId;sku;Click Time", *rows, ""]))
    return path


def test_counts(log: pathlib.Path) -> None:
    found = inspect_log(log)
    assert found.rows == 1007
    assert found.log.columns == LogColumns(user="visitorId", item="sku", time="Click Time")
    assert (found.log.separator, found.log.time_unit, found.log.gap) == (";", "ms", "30m")
    assert found.log.drop_missing
    assert found.log.drop_duplicates == "exact"
    assert found.duplicates == 1
    assert {column.name: column.missing for column in found.columns} == {
        "visitorId": 0,
        "sku": 1,
        "Click Time": 0,
    }
    counts = found.sessions
    assert (counts["users"], counts["sessions"], counts["items"]) == (2, 3, 3)
    assert (counts["events"], counts["length_max"]) == (1005, 1000)
    assert (counts["sessions_of_one_event"], counts["bots"], counts["bot_events"]) == (1, 1, 1000)
    # The bot repeats its item 999 times; ann 7 7 8 7 repeats it twice, once at once.
    assert (counts["repeats"], counts["consecutive_repeats"]) == (1001, 1000)
    assert (counts["first"][:19], counts["last"][:19]) == (  # type: ignore[index]
        "2023-11-14 22:13:20",
        "2023-11-15 00:43:20",
    )
    assert any("bots?" in remark for remark in found.remarks)


def test_the_proposed_command_trains(
    log: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(log), "--json", str(tmp_path / "found.json")]) == 0
    command = capsys.readouterr().out.splitlines()[-1]
    content = json.loads((tmp_path / "found.json").read_text())
    assert content["command"] == command
    assert content["sessions"]["sessions"] == 3
    words = shlex.split(command)
    assert words[:2] == ["tfsessionrec", "train"]
    assert words[-4:] == ["--model", "sessionrec-sasrec", "--output", "model"]
    run = [*words[1:-4], "--model", "popularity", "--output", str(tmp_path / "model")]
    assert main(run) == 0
    assert "2 users, 3 sessions, 1,005 events" in capsys.readouterr().err


def test_formats_of_times(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log.csv"
    for text, expected in (
        ("31/01/2024 10:00", "%d/%m/%Y %H:%M"),
        ("01/31/2024 10:00", "%m/%d/%Y %H:%M"),
        ("31.01.2024", "%d.%m.%Y"),
        ("20240131", "%Y%m%d"),
        ("2024-01-31 10:00:00 UTC", None),
    ):
        path.write_text(f"session_id,item_id,date\n1,2,{text}\n1,3,{text}\n")
        found = inspect_log(path)
        assert found.log.time_format == expected
        assert str(found.sessions["first"]).startswith("2024-01-31"), text
    path.write_text("session_id,item_id,date\n1,2,02/01/2024\n")
    assert any("day or the month first" in remark for remark in inspect_log(path).remarks)
    path.write_text("session_id,item_id,date\n1,2,soon\n")
    assert any("of no known format" in remark for remark in inspect_log(path).remarks)


@pytest.mark.parametrize(
    ("name", "values", "guessed"),
    [
        ("label", "011", True),
        ("is_click", "110", True),
        ("label", "012", False),
        ("label", "111", False),
        ("weekend", "010", False),
    ],
)
def test_what_was_shown_but_not_clicked(
    name: str, values: str, guessed: bool, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "log.csv"
    rows = [f"{number},1,x,170000000{number},{value}" for number, value in enumerate(values)]
    path.write_text("\n".join([f"user_id,session_id,item_id,timestamp,{name}", *rows, ""]))
    found = inspect_log(path)
    assert found.log.columns.label == (name if guessed else None)
    assert (f"--label {name}" in found.command()) == guessed
    shown = inspect_log(path, LogFormat(LogColumns(impressions=name)))
    assert shown.log.columns.label is None


def test_what_is_given_is_not_guessed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user_id,session_id,who,item_id,timestamp\n1,1,a,x,1700000000\n")
    found = inspect_log(path, LogFormat(LogColumns(user="who"), gap="1h"))
    assert (found.log.columns.user, found.log.columns.session, found.log.gap) == ("who", None, "1h")


def test_a_log_without_known_names(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,2\n")
    assert main(["inspect", str(path)]) == 0
    assert "! The command below does not run" in capsys.readouterr().out
    found = inspect_log(path)
    assert found.sessions == {}
    assert [remark.partition(":")[0] for remark in found.remarks][:3] == [
        "No column looks like the item",
        "No column looks like the time",
        "No column looks like a user or a session",
    ]


@pytest.mark.parametrize(
    ("text", "columns", "gap", "model"),
    [
        (
            "user_id,position,item_id\n1,0,a\n1,1,b\n",
            ("user_id", None, "position"),
            "30m",
            "sasrec",
        ),
        ("query,position,item_id\n5,0,a\n6,1,b\n", (None, "query", "position"), None, "sasrec"),
        (
            "user_id,basket,item_id\n1,0,a\n1,1,b\n2,0,a\n",
            ("user_id", "basket", "basket"),
            None,
            "sessionrec-sasrec",
        ),
        ("query,item_id,ts\nred shoes,a,1700000000\n", (None, None, "ts"), None, "sasrec"),
    ],
)
def test_logs_without_times(
    tmp_path: pathlib.Path,
    text: str,
    columns: tuple[str | None, str | None, str],
    gap: str | None,
    model: str,
) -> None:
    """A column of whole numbers orders the events; text that was searched for is no session."""
    path = tmp_path / "log.csv"
    path.write_text(text)
    found = inspect_log(path)
    user, session, time = columns
    assert found.log == LogFormat(LogColumns(user=user, session=session, time=time), gap=gap)
    assert f"--model {model} " in found.command()
    remark = f"{time!r} gives the order of the events"
    assert any(remark in text for text in found.remarks) == (time != "ts")
    assert (found.sessions == {}) == (session is None and gap is None)


LOGS = {
    "yoochoose-clicks-100k_test.txt": 13_568,
    "yoochoose-clicks-100k_train_full.txt": 70_277,
    "amazon_beauty_sequences.parquet": 198_502,
    "diginetica_test.parquet": 306_404,
    "diginetica_train.parquet": 906_140,
    "globo_clicks_hours_000_095.parquet": 901_032,
    "tafeng_baskets.parquet": 571_933,
    "trivago_val_100k.parquet": 100_003,
}


@pytest.mark.parametrize("name", LOGS)
def test_the_proposed_command_reads_real_logs(
    shared_data: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    assert main(["inspect", str(shared_data / name)]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert words[-4] == "--model"
    run = [*words[1:-4], "--model", "popularity", "--output", str(tmp_path / "model")]
    assert main(run) == 0
    assert f"{LOGS[name]:,} events" in capsys.readouterr().err
