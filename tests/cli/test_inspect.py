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


def test_what_is_given_is_not_guessed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user_id,session_id,who,item_id,timestamp\n1,1,a,x,1700000000\n")
    found = inspect_log(path, LogFormat(LogColumns(user="who"), gap="1h"))
    assert (found.log.columns.user, found.log.columns.session, found.log.gap) == ("who", None, "1h")


def test_a_log_without_known_names(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,2\n")
    found = inspect_log(path)
    assert found.sessions == {}
    assert [remark.partition(":")[0] for remark in found.remarks][:3] == [
        "No column looks like the item",
        "No column looks like the time",
        "No column looks like a user or a session",
    ]
