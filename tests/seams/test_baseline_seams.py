"""Systems that count: the ranks of `evaluate` are those of `recommend`."""

import json
import pathlib

import numpy as np
import polars as pl
import pytest

from tfsessionrec.cli.main import main

COLUMNS = ["--user", "user_id", "--session", "session_id"]
EVERY_K = ",".join(map(str, range(1, 41)))


@pytest.fixture(scope="module")
def clicks(shown_log: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("clicks") / "log.csv"
    pl.read_csv(shown_log).filter(pl.col("label") == 1).drop("label").write_csv(path)
    return path


@pytest.mark.parametrize("protocol", ["next_item", "next_session"])
@pytest.mark.parametrize("model", ["popularity", "vsknn", "ar"])
def test_ranks_are_the_same(
    model: str, protocol: str, clicks: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path, file = tmp_path / "model", tmp_path / "answer.json"
    words = ["--events", str(clicks), "--output", str(path), "--holdout", "last-session"]
    assert main(["train", *words, *COLUMNS, "--model", model]) == 0
    words = ["--model", str(path), "--events", str(clicks), "--protocol", protocol]
    assert main(["evaluate", *words, "--k", EVERY_K, "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    known = _known_items(clicks)
    assert report["num_candidates"] == len(known)
    ranks = []
    for rows in _rows_of_users(clicks):
        last = rows[-1]["session_id"]
        begin = next(place for place, row in enumerate(rows) if row["session_id"] == last)
        places = range(begin + 1, len(rows)) if protocol == "next_item" else [begin]
        for place in places if begin else ():
            items = rows[place:] if protocol == "next_session" else rows[place : place + 1]
            targets = {row["item_id"] for row in items} & known
            if targets:
                asked = rows[place if protocol == "next_session" else place - 1]["timestamp"]
                scores = _recommended(path, rows[:place], asked, file)
                ranks.append(_ranks(scores, targets, known))
    assert len(ranks) == report["num_queries"]
    assert len(ranks) > 30
    for k in range(1, 41):
        found = np.mean([np.mean([rank <= k for rank in one]) for one in ranks])
        assert report["metrics"][f"recall@{k}"] == pytest.approx(found, abs=1e-9), k


def _rows_of_users(log: pathlib.Path) -> list[list[dict]]:
    frame = pl.read_csv(log).sort("user_id", "session_id", "timestamp", maintain_order=True)
    users = frame.group_by("user_id", maintain_order=True)
    return [list(rows.iter_rows(named=True)) for _, rows in users]


def _known_items(log: pathlib.Path) -> set[str]:
    """The items of all sessions but the last of each user who has two."""
    items: set[str] = set()
    for rows in _rows_of_users(log):
        sessions = list(dict.fromkeys(row["session_id"] for row in rows))
        kept = sessions[:-1] if len(sessions) > 1 else sessions
        items.update(row["item_id"] for row in rows if row["session_id"] in kept)
    return items


def _recommended(
    model: pathlib.Path, history: list[dict], time: int, file: pathlib.Path
) -> dict[str, float]:
    items = ",".join(row["item_id"] for row in history)
    sessions = ",".join(str(row["session_id"]) for row in history)
    words = ["--saved-model", str(model), "--items", items, "--sessions", sessions]
    more = ["--k", "1000", "--request-time", str(time), "--json", str(file)]
    assert main(["recommend", *words, *more]) == 0
    rows = json.loads(file.read_text())["recommended"]
    return {row["item"]: row["score"] for row in rows}


def _ranks(scores: dict[str, float], targets: set[str], known: set[str]) -> list[int]:
    """The rank of each target; items without a score tie below the others."""
    value = {item: scores.get(item, -np.inf) for item in known}
    others = np.array([value[item] for item in known - targets])
    own = sorted((value[item] for item in targets), reverse=True)
    return [1 + place + int((others >= mine).sum()) for place, mine in enumerate(own)]
