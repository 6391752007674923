"""Every kind of system: fitted in one step, saved, loaded, evaluated, asked and exported."""

import json
import pathlib
import shutil

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

import tfsessionrec as sr
from tfsessionrec.cli.main import main
from tfsessionrec.systems.ensemble import EnsembleSystem

SMALL = {"embedding_dim": 8, "epochs": 1, "holdout": "last-session"}
COLUMNS = {"user": "user_id", "session": "session_id", "label": "label"}
NEURAL = {
    "sessionrec-hstu": {"num_layers": 1, "num_heads": 1},
    "sasrec": {"num_layers": 1, "num_heads": 1},
    "two-tower": {},
}


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    return sr.data.simulate(num_users=60, num_items=30, seed=2).events


@pytest.fixture(scope="module", params=[*NEURAL, "vsknn"])
def system(request: pytest.FixtureRequest, events: pl.DataFrame) -> sr.systems.TrainedSystem:
    name = request.param
    options = {**SMALL, **NEURAL[name]} if name in NEURAL else {"holdout": "last-session"}
    return sr.systems.fit(name, events, **COLUMNS, **options)


def test_saved_and_loaded_it_answers_the_same(
    system: sr.systems.TrainedSystem, events: pl.DataFrame, tmp_path: pathlib.Path
) -> None:
    system.save(tmp_path / "model")
    again = sr.systems.load(tmp_path / "model")
    assert type(again) is type(system)
    assert again.settings == system.settings
    history = [["i00003", "i00004"], ["i00005"]]
    assert again.recommend(history, k=5, time=1.7e9) == system.recommend(history, k=5, time=1.7e9)
    reports = [one.evaluate(events, k=[5]) for one in (system, again)]
    assert reports[0].metrics == reports[1].metrics
    assert reports[0].num_queries > 0
    with pytest.raises(FileExistsError, match="exists already"):
        system.save(tmp_path / "model")


@pytest.mark.slow
def test_a_loaded_system_is_saved_with_its_optimizer(
    events: pl.DataFrame, tmp_path: pathlib.Path
) -> None:
    system = sr.systems.fit("sessionrec-gru", events, **COLUMNS, epochs=1, embedding_dim=4)
    system.save(tmp_path / "first")
    sr.systems.load(tmp_path / "first").save(tmp_path / "second")
    first, second = (
        tf.train.load_checkpoint(str(tmp_path / name / "checkpoint" / "ckpt-1"))
        for name in ("first", "second")
    )
    names = [name for name in first.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    assert any("optimizer" in name for name in names)
    for name in names:
        np.testing.assert_array_equal(first.get_tensor(name), second.get_tensor(name))

    loaded = sr.systems.load(tmp_path / "second")
    shutil.rmtree(tmp_path / "second")
    for _ in range(2):
        with pytest.raises(ValueError, match=f"there, with the state.*{tmp_path / 'second'}"):
            loaded.save(tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_recommendations_are_those_of_the_scores(system: sr.systems.TrainedSystem) -> None:
    ranked = system.recommend([["i00003"], ["i00005", "i00006"]], k=30, time=1.7e9)
    scores = [score for _, score in ranked]
    assert scores == sorted(scores, reverse=True)
    assert len({item for item, _ in ranked}) == len(ranked)
    assert {item for item, _ in ranked} <= set(system.vocabulary.ids.tolist())
    new = system.recommend([["i00003"], ["i00005", "i00006"]], k=30, filter_seen=True, time=1.7e9)
    seen = {"i00003", "i00005", "i00006"}
    assert new == [(item, score) for item, score in ranked if item not in seen]


def test_a_flat_history_is_the_running_session(system: sr.systems.TrainedSystem) -> None:
    flat = system.recommend(["i00003", "i00004"], k=5, time=1.7e9)
    assert flat == system.recommend([["i00003", "i00004"]], k=5, time=1.7e9)


def test_a_visitor_without_a_history_gets_recommendations(
    system: sr.systems.TrainedSystem,
) -> None:
    assert len(system.recommend([], k=3, time=1.7e9)) == (3 if system.can_export else 0)


def test_exported_it_answers_the_same(
    system: sr.systems.TrainedSystem, tmp_path: pathlib.Path
) -> None:
    if not system.can_export:
        with pytest.raises(ValueError, match="has no graph to export"):
            system.export(tmp_path / "export" / "1")
        return
    path = system.export(tmp_path / "export" / "1", k=5, warm_up_batch_sizes=())
    served = sr.export.load_saved_model(path)
    inputs = {}
    if "timestamps" in served.item_inputs:
        inputs["timestamps"] = [1_700_000_000] * 3
    got = served.recommend(["i00003", "i00004", "i00005"], [0, 0, 1], k=5, **inputs)
    expected = system.recommend([["i00003", "i00004"], ["i00005"]], k=5, time=1_700_000_000)
    assert [item for item, _ in got] == [item for item, _ in expected]
    np.testing.assert_allclose([s for _, s in got], [s for _, s in expected], rtol=1e-5)


@pytest.mark.slow
def test_the_command_trains_the_same_system(events: pl.DataFrame, tmp_path: pathlib.Path) -> None:
    events.write_csv(tmp_path / "log.csv")
    flags = ["--user", "user_id", "--session", "session_id", "--label", "label"]
    command = ["train", "--events", str(tmp_path / "log.csv"), *flags, "--model", "sasrec"]
    command += ["--embedding-dim", "8", "--epochs", "1", "--holdout", "last-session"]
    command += ["--set", "num_layers=1", "--set", "num_heads=1"]
    assert main([*command, "--output", str(tmp_path / "model")]) == 0
    by_command = sr.systems.load(tmp_path / "model")
    system = sr.systems.fit("sasrec", tmp_path / "log.csv", **COLUMNS, **SMALL, **NEURAL["sasrec"])
    assert by_command.settings == system.settings
    for one, other in zip(by_command.model.weights, system.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_sessions_end_after_30_minutes_by_default() -> None:
    times = [0, 60, 60 + 1800, 4000]
    log = pl.DataFrame({"u": [1] * 4, "item_id": [5, 6, 5, 6], "timestamp": times})
    system = sr.systems.fit("ar", log, user="u")
    assert system.settings.log.gap == "30m"
    assert system.read(log).num_sessions == 3


@pytest.mark.slow
def test_the_specification_says_what_the_model_reads(events: pl.DataFrame) -> None:
    def history(name: str, **options: object) -> sr.history_spec.HistorySpec:
        return sr.systems.fit(name, events, **COLUMNS, **SMALL, **options).history

    assert history("sessionrec-sasrec").labels
    assert history("sessionrec-sasrec", interaction_embedding=False).labels  # habit reads them
    assert not history("sessionrec-sasrec", interaction_embedding=False, habit=None).labels
    assert history("sessionrec-hstu").session_times
    assert not history("sessionrec-sasrec").session_times
    assert history("sasrec").session == "item"
    assert history("sasrec").labels  # items that were shown but not clicked are left out
    assert history("two-tower").session == "whole"
    assert history("sessionrec-gru", num_item_time_buckets=4).item_times


@pytest.mark.slow
def test_two_systems_as_one(events: pl.DataFrame) -> None:
    members = [
        sr.systems.fit("sasrec", events, **COLUMNS, **SMALL, **NEURAL["sasrec"]),
        sr.systems.fit("vsknn", events, **COLUMNS, holdout="last-session"),
    ]
    both = EnsembleSystem(*members)
    report = both.evaluate(events, k=[5])
    assert report.num_queries == members[0].evaluate(events, k=[5]).num_queries
    alone = EnsembleSystem(*members, weight=1e-6)
    ranked = alone.recommend([["i00003"], ["i00004"]], k=5, time=1.7e9)
    first = members[0].recommend([["i00003"], ["i00004"]], k=5, time=1.7e9)
    assert [item for item, _ in ranked] == [item for item, _ in first]
    with pytest.raises(ValueError, match="not saved"):
        both.save("anywhere")


def test_settings_survive_json(system: sr.systems.TrainedSystem) -> None:
    content = json.loads(json.dumps(system.settings.to_json()))
    assert sr.systems.Settings.from_json(content) == system.settings
    with pytest.raises(ValueError, match="should hold the settings of tfsessionrec train"):
        sr.systems.Settings.from_json({**content, "history": {"sessions": "real"}})


def test_a_directory_of_former_defaults(events: pl.DataFrame, tmp_path: pathlib.Path) -> None:
    """Its `config.json` has only what was given; the model is the one that was trained."""
    former = {
        "negatives": "uniform", "num_negatives": 512, "normalize": False, "temperature": 1.0,
        "dropout": 0.2, "habit": None,
    }  # fmt: skip
    blocks = {"num_layers": 1, "num_heads": 1}
    system = sr.systems.fit("sessionrec-sasrec", events, **COLUMNS, **SMALL, **blocks, **former)
    content = json.loads(json.dumps(system.settings.to_json()))
    given = {"embedding_dim": 8, **blocks}
    content["options"] = given
    settings = sr.systems.Settings.from_json(content)
    assert settings.options == {**former, **given}
    system.save(tmp_path / "m")
    config = tmp_path / "m" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "options": given}))
    with pytest.warns(UserWarning, match="was edited after training"):
        loaded = sr.systems.load(tmp_path / "m")
    history = [["i00003"], ["i00004", "i00005"]]
    assert loaded.recommend(history, k=5) == system.recommend(history, k=5)


def test_unknown_names_and_options_raise(events: pl.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"`name` \(--model\) should be one of sessionrec-sasrec"):
        sr.systems.build("sessionrec")
    with pytest.raises(ValueError, match=r"`name` \(--model\) should be one of .*Received: \[\]"):
        sr.systems.build([])
    with pytest.raises(ValueError, match="Unknown options of 'sasrec': heads"):
        sr.systems.fit("sasrec", events, **COLUMNS, heads=3)
    with pytest.raises(ValueError, match="should name an option of vsknn"):
        sr.systems.fit("vsknn", events, **COLUMNS, heads=3)


@pytest.mark.parametrize("name", [[], None, "sasrek"])
def test_a_name_that_is_no_system(name):
    with pytest.raises(
        ValueError, match=r"should be one of sessionrec-sasrec.*Received: (\[\]|None|'s)"
    ):
        sr.systems.build(name=name)
