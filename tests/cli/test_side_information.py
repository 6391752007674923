"""Item features, session context, interaction types and times from the command line."""

import json
import pathlib

import numpy as np
import polars as pl
import pytest

from tfsessionrec import systems
from tfsessionrec.cli.main import main
from tfsessionrec.systems.model_directory import ModelDirectory

COLUMNS = ["--user", "user", "--session", "session", "--interaction-type", "kind"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A log of 20 items and a catalogue of 25."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    rows = 600
    pl.DataFrame(
        {
            "user": np.repeat(np.arange(30), 20),
            "session": np.repeat(np.arange(150), 4),
            "item_id": [f"i{n}" for n in rng.integers(20, size=rows)],
            "timestamp": 1_700_000_000 + np.arange(rows) * 60,
            "kind": rng.choice(["click", "cart"], rows),
            "device": np.repeat(rng.choice(["phone", "desk"], 150), 4),
            "country": np.repeat(rng.integers(1, 4, 150), 4),
        }
    ).write_csv(folder / "log.csv")
    pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(25)],
            "brand": [f"b{n % 4}" for n in range(25)],
            "tags": ["x|y", "y", "", "x", "z"] * 5,
            "price": np.arange(25.0),
        }
    ).write_csv(folder / "items.csv")
    return folder


def test_the_whole_path(
    files: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, log = str(tmp_path / "model"), str(files / "log.csv")
    train = ["train", "--events", log, *COLUMNS, "--model", "sessionrec-hstu", "--output", model]
    train += ["--embedding-dim", "8", "--set", "num_item_time_buckets=16", "--epochs", "1"]
    train += ["--session-context", "device", "--session-context", "country"]
    train += ["--item-features", str(files / "items.csv"), "--categorical", "brand"]
    assert main([*train, "--multi-hot", "tags", "--dense", "price"]) == 0

    directory = ModelDirectory(tmp_path / "model")
    history = directory.settings().history
    assert history.interaction_types == ("cart", "click")
    assert history.session_context == {"device": ("desk", "phone"), "country": (1, 2, 3)}
    vocabulary = directory.vocabulary()
    assert vocabulary.num_items == 25
    assert sorted(vocabulary.ids[20:]) == ["i20", "i21", "i22", "i23", "i24"]
    loaded = systems.load(directory.path).model
    items = loaded.backbone.items
    assert (items.id_dropout, items.num_new_items) == (0.2, 5)
    assert loaded.backbone.interactions.num_interaction_types == 2
    assert sorted(items.features) == ["brand", "price", "tags"]
    # A new item is embedded by its features.
    assert np.abs(loaded.candidate_embeddings().numpy()[-5:]).max() > 0

    resume = ["train", "--events", log, "--output", model, "--resume", "--epochs", "2"]
    assert main(resume) == 0
    assert len(directory.history()) == 2

    report = tmp_path / "report.json"
    evaluate = ["evaluate", "--model", model, "--events", log, "--k", "5", "--json", str(report)]
    for protocol in ("next_item", "next_session"):
        assert main([*evaluate, "--protocol", protocol]) == 0
    assert json.loads(report.read_text())["num_candidates"] == 25

    export = str(tmp_path / "export" / "1")
    assert main(["export", "--model", model, "--output", export, "--warm-up-batch-sizes", ""]) == 0
    recommend = ["recommend", "--saved-model", export, "--items", "i3,i8", "--k", "25"]
    recommend += ["--input", "timestamps=1700000000,1700000060"]
    recommend += ["--input", "interaction_types=cart,click", "--input", "device=desk,desk"]
    result = tmp_path / "recommended.json"
    assert main([*recommend, "--input", "country=3,3", "--json", str(result)]) == 0
    recommended = {
        row["item"]: row["score"] for row in json.loads(result.read_text())["recommended"]
    }
    model_now = systems.load(directory.path).model
    queries = model_now.queries(
        {
            "item_ids": vocabulary.lookup([[["i3", "i8"]]]),
            "session_times": np.array([[1_700_000_000]]),
            "item_times": np.array([[[1_700_000_000, 1_700_000_060]]]),
            "interaction_types": np.array([[[1, 2]]]),
            "device": np.array([[1]]),
            "country": np.array([[3]]),
        }
    )
    scores = queries.score(model_now.candidate_embeddings(), np.arange(len(vocabulary)))
    scores = scores.numpy()[0, 2:]
    got = [recommended[item] for item in vocabulary.ids]
    np.testing.assert_allclose(got, scores, rtol=1e-3, atol=1e-4)

    capsys.readouterr()
    assert main(recommend) == 2
    assert "item inputs of the export: --input country=A,B,..." in capsys.readouterr().err
    assert main([*recommend, "--input", "country=x,y"]) == 2
    assert "should give numbers for country" in capsys.readouterr().err


def test_bad_arguments(
    files: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "--events", str(files / "log.csv"), *COLUMNS, "--model", "sasrec"]
    train += ["--output", str(tmp_path / "model")]
    catalogue = ["--item-features", str(files / "items.csv")]
    for more, message in (
        ([*catalogue], "needs at least one of `--categorical`"),
        ([*catalogue, "--dense", "weight"], "`dense` should name a column"),
        ([*catalogue, "--categorical", "brand", "--item", "user"], "`item` should name a column"),
        (["--session-context", "weather"], "`keep` should name a column"),
    ):
        assert main([*train, *more]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "model").exists()
