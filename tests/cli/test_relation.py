"""A relation from the command line: trained, remembered, asked, exported."""

import json

import numpy as np
import polars as pl
import pytest

from tfsessionrec.cli.main import main

COLUMNS = [
    "--session",
    "visit",
    "--item",
    "hotel",
    "--time",
    "time",
    "--impressions",
    "shown",
    "--impression-feature",
    "price=prices",
    "--interaction-type",
    "kind",
]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Two looks, then a request that takes the hotel of the second; each event a session."""
    draw = np.random.default_rng(0)
    rows = []
    for user in range(80):
        hotels = [f"h{user}.{n}" for n in range(5)]
        looks = draw.choice(hotels, 2, replace=False)
        rows += [(user, hotel, len(rows) + n, "look", None, None) for n, hotel in enumerate(looks)]
        shown, prices = "|".join(hotels), "|".join(map(str, draw.integers(50, 99, 5)))
        rows.append((user, looks[1], len(rows), "click", shown, prices))
    path = tmp_path_factory.mktemp("relation") / "log.csv"
    columns = ["user", "hotel", "time", "kind", "shown", "prices"]
    frame = pl.DataFrame(rows, schema=columns, orient="row").with_row_index("visit")
    frame.write_csv(path)
    return path


def run(*words):
    assert main([str(word) for word in words]) == 0


@pytest.mark.slow
def test_trained_asked_and_exported(log, tmp_path):
    model, report, export = (tmp_path / name for name in ("model", "report.json", "1"))
    train = ["--events", log, "--user", "user", *COLUMNS]
    small = (
        "--embedding-dim 4 --epochs 20 --learning-rate 0.03 --set num_layers=1 --set num_heads=1"
    )
    more = "--set ranking_loss=listwise --set ranking_weight=10 --relation --holdout after=180"
    run(
        "train",
        *train,
        "--model",
        "sessionrec-sasrec",
        "--output",
        model,
        *f"{small} {more}".split(),
        "--set",
        'relation={"hidden_dims":[16,8],"with_product":false}',
    )
    config = json.loads((model / "config.json").read_text())
    assert config["history"]["relation"] == ["price"]
    ask = ["--protocol", "ranking", "--empty-history", "--json", report]
    run("evaluate", "--model", model, "--events", log, *ask)
    found = json.loads(report.read_text())
    assert found["num_queries"] == 20  # requests alone, no looks
    assert found["metrics"]["mrr"] > 0.9
    assert found["baselines"]["as displayed"]["mrr"] < 0.7
    run("export", "--model", model, "--output", export)
    signatures = json.loads((export / "signature.json").read_text())["signatures"]
    assert signatures["rank"]["inputs"]["candidate_price"]["shape"] == ["B", "C"]
    assert "request_times" not in signatures["recommend"]["inputs"]


def test_needs_impressions(log, tmp_path, capsys):
    words = f"train --events {log} --user user --session visit --item hotel --time time --relation"
    model = ["--model", "sessionrec-sasrec", "--output", str(tmp_path / "m")]
    assert main([*words.split(), *model]) != 0
    assert "`--relation` ranks what was shown: it needs `--impressions`" in capsys.readouterr().err
