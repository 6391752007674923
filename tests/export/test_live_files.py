"""The files that an export reads at each request: several writers, and files that are bad."""

import pathlib
import shutil
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.data import Vocabulary
from tfsessionrec.export import export_saved_model, live_files, write_availability_file
from tfsessionrec.export.live_files import TrendFile, write_trend_file
from tfsessionrec.layers import TrendFeatures
from tfsessionrec.layers.terms.trend import TrendTable


def test_two_writers(tmp_path: pathlib.Path) -> None:
    (tmp_path / "vocabulary.txt").write_text("".join(f"item {n}\n" for n in range(50)))
    file = tmp_path / "availability.pb"
    failures = []

    def write(item: str) -> None:
        try:
            for _ in range(100):
                write_availability_file(file, [item])
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=[f"item {n}"]) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    example = tf.train.Example.FromString(file.read_bytes())
    rows = example.features.feature["rows"].bytes_list.value[0]
    assert np.frombuffer(rows, "<i4")[0] in (0, 1, 2)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "availability.pb",
        "vocabulary.txt",
    ]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, toy: Any) -> pathlib.Path:
    vocabulary = Vocabulary([f"item {n}" for n in range(8)], range(8, 0, -1))
    return export_saved_model(
        toy.Model(vocabulary),
        tmp_path_factory.mktemp("live") / "1",
        vocabulary,
        max_sessions=toy.MAX_SESSIONS,
        max_items=toy.MAX_ITEMS,
        unavailable=["item 3"],
        warm_up_batch_sizes=[],
    )


def _row(file: pathlib.Path, row: int) -> None:
    """Names a row that the export does not have."""
    vocabulary = file.with_name("vocabulary.txt").read_bytes()
    columns = {"rows": np.array([row], "<i4").tobytes()}
    live_files._write(file, {**columns, "vocabulary": live_files._fingerprint(vocabulary)})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b"no Example"),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-9]),
        lambda file: _row(file, 8),
        lambda file: _row(file, -1),
        lambda file: live_files._write(file, {"rows": b"123", "vocabulary": b""}),
    ],
)
def test_an_error_names_the_bad_file(
    exported: pathlib.Path, tmp_path: pathlib.Path, spoil: Callable[[pathlib.Path], None]
) -> None:
    path = pathlib.Path(shutil.copytree(exported, tmp_path / "1"))
    spoil(path / "assets" / "availability.pb")
    recommend = tf.saved_model.load(str(path)).signatures["recommend"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"availability\.pb"):
        recommend(
            item_ids=tf.constant([["item 1"]]),
            session_index=tf.constant([[0]]),
            k=tf.constant([3]),
        )


@pytest.mark.parametrize("rows", [[9], [0, 1]])
def test_an_error_names_the_bad_trend(tmp_path: pathlib.Path, rows: list[int]) -> None:
    trend = TrendFeatures(5, half_lives=(3600.0,))
    table = TrendTable(
        item_ids=np.array(rows, np.int32) + 2,
        values=np.ones([1, trend.num_features], np.float32),
        leaders=np.zeros(0, np.int32),
        followers=np.zeros(0, np.int32),
        follow_values=np.zeros([0, 0], np.float32),
    )
    write_trend_file(tmp_path / "trend.pb", table)
    file = TrendFile(tmp_path / "trend.pb", trend)

    @tf.function
    def terms() -> tf.Tensor:
        gates = tf.ones([1, trend.num_features])
        return file.table().terms(gates, tf.zeros([1, 0], tf.int32), 3)

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"trend\.pb"):
        terms()


def test_an_id_that_marks_padding_is_refused(tmp_path: pathlib.Path, toy: Any) -> None:
    """Were it exported, `exclude_ids=[-1]` would exclude nothing."""
    vocabulary = Vocabulary([3, -1, 7], [5, 3, 1])
    with pytest.raises(ValueError, match=r"`vocabulary` should not hold .*`spec.padding_id`=-1"):
        export_saved_model(toy.Model(vocabulary), tmp_path / "1", vocabulary)
    assert list(tmp_path.iterdir()) == []
