"""The builders on small files in the logs' formats, and on the real files if present."""

import pathlib
import shutil
import tempfile

import numpy as np
import polars as pl
import pytest
import tensorflow_datasets as tfds

from tfsessionrec.data import Vocabulary, session_dataset
from tfsessionrec.data.from_tfds import sessions_from_tfds
from tfsessionrec.datasets import Globo, Trivago, Yoochoose


def write_yoochoose(folder):
    (folder / "yoochoose-clicks-100k_train_full.txt").write_text(
        "SessionId\tItemId\tTime\n"
        "9\t701\t1000.25\n"
        "9\t702\t1060.5\n"
        "4\t702\t900.0\n"
        "4\t702\t900.0\n"
        "4\t703\t899.0\n"
    )
    (folder / "yoochoose-clicks-100k_test.txt").write_text(
        "SessionId\tItemId\tTime\n11\t701\t2000.0\n11\t703\t2001.125\n"
    )


def write_trivago(folder):
    columns = ["user_id", "session_id", "timestamp", "step", "action_type", "reference"]
    columns += ["platform", "city", "device", "current_filters", "impressions", "prices"]

    def row(user, session, time, step, action, reference, impressions=None, city="Ghent"):
        prices = impressions and "|".join("50" for _ in impressions.split("|"))
        event = (user, session, time, step, action, reference, "BE", city, "mobile")
        return (*event, None, impressions, prices)

    pl.DataFrame(
        [
            row("ann", "s1", 100, 1, "interaction item image", "h2"),
            row("ann", "s1", 110, 2, "clickout item", "h2", "h1|h2|h3"),
            row("ann", "s1", 120, 3, "clickout item", "h1", "h1|h2|h3|h4", city="Bruges"),
            row("bob", "s2", 90, 1, "search for destination", "Ghent"),
            row("bob", "s3", 130, 1, "clickout item", "h9", "h4|h1"),
            row("ann", "s4", 140, 1, "clickout item", "h3", "h3"),
        ],
        schema=dict.fromkeys(columns, pl.String) | {"timestamp": pl.Int64, "step": pl.Int64},
        orient="row",
    ).write_parquet(folder / "trivago_val_100k.parquet")


def write_globo(folder):
    columns = ["hour", "user_id", "session_id", "session_start", "session_size"]
    columns += ["click_article_id", "click_timestamp", "click_environment", "click_deviceGroup"]
    columns += ["click_os", "click_country", "click_region", "click_referrer_type"]
    rows = [
        (0, 7, 71, 5_000, 2, 500, 5_100, 4, 1, 17, 1, 25, 2),
        (0, 7, 71, 5_000, 2, 501, 35_100, 4, 1, 17, 1, 26, 1),
        (0, 8, 81, 6_000, 2, 501, 6_000, 2, 3, 20, 1, 9, 2),
        (0, 8, 81, 6_000, 2, 502, 36_000, 2, 3, 20, 1, 9, 2),
        (1, 7, 72, 3_600_000, 2, 502, 3_600_001, 4, 1, 17, 1, 25, 5),
        (1, 7, 72, 3_600_000, 2, 500, 3_630_001, 4, 1, 17, 1, 25, 5),
    ]
    log = pl.DataFrame(rows, schema=columns, orient="row")
    log.write_parquet(folder / "globo_clicks_hours_000_095.parquet")


class MadeUpFiles:
    """Writes the files when the test class starts; `tfds.testing` then finds them."""

    WRITE = None

    @classmethod
    def setUpClass(cls):
        cls.EXAMPLE_DIR = tempfile.mkdtemp()
        cls.WRITE(pathlib.Path(cls.EXAMPLE_DIR))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.EXAMPLE_DIR)


class TestYoochoose(MadeUpFiles, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Yoochoose
    SPLITS = {"train": 2, "test": 1}  # noqa: RUF012
    WRITE = staticmethod(write_yoochoose)


class TestTrivagoSessions(MadeUpFiles, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Trivago
    BUILDER_CONFIG_NAMES_TO_TEST = ["sessions"]  # noqa: RUF012
    SPLITS = {"train": 3}  # noqa: RUF012
    WRITE = staticmethod(write_trivago)


class TestTrivagoClickouts(MadeUpFiles, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Trivago
    BUILDER_CONFIG_NAMES_TO_TEST = ["clickouts"]  # noqa: RUF012
    SPLITS = {"train": 4}  # noqa: RUF012
    WRITE = staticmethod(write_trivago)


class TestGlobo(MadeUpFiles, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Globo
    SPLITS = {"train": 3}  # noqa: RUF012
    WRITE = staticmethod(write_globo)


def prepare(builder_class, folder, data_dir, config=None):
    builder = builder_class(data_dir=data_dir, config=config)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=folder, compute_stats="skip")
    )
    return builder


def plain(example):
    return {
        key: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for key, value in example.items()
    }


def examples(builder, split="train"):
    return [plain(example) for example in tfds.as_numpy(builder.as_dataset(split=split))]


def test_yoochoose_examples(tmp_path):
    write_yoochoose(tmp_path)
    builder = prepare(Yoochoose, tmp_path, tmp_path / "tfds")
    assert examples(builder) == [
        {
            "user_id": 9,
            "session_id": 9,
            "session_time": 1000,
            "item_ids": [701, 702],
            "labels": [1.0, 1.0],
            "timestamps": [1_000_250_000, 1_060_500_000],
        },
        {
            "user_id": 4,
            "session_id": 4,
            "session_time": 899,
            "item_ids": [703, 702, 702],
            "labels": [1.0, 1.0, 1.0],
            "timestamps": [899_000_000, 900_000_000, 900_000_000],
        },
    ]
    assert [example["session_id"] for example in examples(builder, "test")] == [11]


def test_trivago_examples(tmp_path):
    write_trivago(tmp_path)
    builder = prepare(Trivago, tmp_path, tmp_path / "tfds")
    first, second, third = examples(builder)
    # A hotel clicked anywhere in the session is not a negative in it; h3 is a negative once.
    assert first == {
        "user_id": b"ann",
        "session_id": b"s1",
        "session_time": 110,
        "item_ids": [b"h2", b"h3", b"h1", b"h4"],
        "labels": [1.0, 0.0, 1.0, 0.0],
        "timestamps": [110_000_000, 110_000_000, 120_000_000, 120_000_000],
        "platform": b"BE",
        "device": b"mobile",
        "city": [b"Ghent", b"Ghent", b"Bruges", b"Bruges"],
    }
    assert (second["session_id"], second["item_ids"]) == (b"s4", [b"h3"])
    assert (third["item_ids"], third["labels"]) == ([b"h4", b"h1", b"h9"], [0.0, 0.0, 1.0])

    each = examples(prepare(Trivago, tmp_path, tmp_path / "tfds", config="clickouts"))
    assert [(example["user_id"], example["item_ids"], example["labels"]) for example in each] == [
        (b"ann", [b"h1", b"h2", b"h3"], [0.0, 1.0, 0.0]),
        (b"ann", [b"h1", b"h2", b"h3", b"h4"], [1.0, 0.0, 0.0, 0.0]),
        (b"ann", [b"h3"], [1.0]),
        (b"bob", [b"h4", b"h1", b"h9"], [0.0, 0.0, 1.0]),
    ]
    assert len({example["session_id"] for example in each}) == 4


def test_globo_examples(tmp_path):
    write_globo(tmp_path)
    first, second, third = examples(prepare(Globo, tmp_path, tmp_path / "tfds"))
    assert first == {
        "user_id": 7,
        "session_id": 71,
        "session_time": 5,
        "item_ids": [500, 501],
        "labels": [1.0, 1.0],
        "timestamps": [5_100_000, 35_100_000],
        "hour": 0,
        "environment": [4, 4],
        "device_group": [1, 1],
        "os": [17, 17],
        "country": [1, 1],
        "region": [25, 26],
        "referrer_type": [2, 1],
    }
    assert (second["user_id"], second["session_id"], second["hour"]) == (7, 72, 1)
    assert third["user_id"] == 8


def test_session_dataset_reads_a_builder(tmp_path):
    write_trivago(tmp_path)
    builder = prepare(Trivago, tmp_path, tmp_path / "tfds")
    vocabulary = Vocabulary(["h1", "h2", "h3"])
    (batch,) = session_dataset(builder.as_dataset(split="train"), vocabulary)
    assert batch["item_ids"].numpy().tolist() == [
        [[3, 4, 2, 1], [4, 0, 0, 0]],
        [[1, 2, 1, 0], [0, 0, 0, 0]],
    ]
    assert batch["labels"].numpy().tolist() == [
        [[1, 0, 1, 0], [1, 0, 0, 0]],
        [[0, 0, 1, 0], [0, 0, 0, 0]],
    ]
    assert batch["session_times"].numpy().tolist() == [[110, 140], [130, 0]]


@pytest.mark.parametrize(
    ("builder_class", "write"),
    [(Yoochoose, write_yoochoose), (Trivago, write_trivago), (Globo, write_globo)],
)
def test_sessions_round_trip(builder_class, write, tmp_path):
    write(tmp_path)
    builder = prepare(builder_class, tmp_path, tmp_path / "tfds")
    for split, name in builder_class.FILES.items():
        expected = builder.read(tmp_path / name).events
        found = sessions_from_tfds(builder.as_dataset(split=split)).events
        assert found.select(expected.columns).equals(expected)
        assert set(found.columns) == set(expected.columns)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"`trivago_val_100k\.parquet` is not in the manual"
    ):
        prepare(Trivago, tmp_path, tmp_path / "tfds")


# ---------------------------------------------------------------------------------------------
# The real files
# ---------------------------------------------------------------------------------------------


def test_real_yoochoose(shared_data, tmp_path):
    builder = prepare(Yoochoose, shared_data, tmp_path)
    counts = {"train": (17_794, 70_278), "test": (3_416, 13_568)}
    items = {}
    for split, (num_sessions, num_clicks) in counts.items():
        assert builder.info.splits[split].num_examples == num_sessions
        sessions = sessions_from_tfds(builder.as_dataset(split=split))
        assert (sessions.num_sessions, sessions.num_events) == (num_sessions, num_clicks)
        items[split] = set(sessions.events["item_id"])
    assert len(items["train"]) == 2_933
    assert items["test"] <= items["train"]


def test_real_trivago(shared_data, tmp_path):
    builder = prepare(Trivago, shared_data, tmp_path)
    log = pl.read_parquet(shared_data / Trivago.FILES["train"])
    clickouts = log.filter(pl.col("action_type") == "clickout item")
    found = sessions_from_tfds(builder.as_dataset(split="train"))
    assert found.num_users == 6_593
    assert found.num_sessions == clickouts["session_id"].n_unique()
    assert found.events["label"].sum() == 13_597
    # A session holds every hotel shown or clicked in it; one without a click occurs once.
    expected = {
        (row["session_id"], item)
        for row in clickouts.iter_rows(named=True)
        for item in [*row["impressions"].split("|"), row["reference"]]
    }
    pairs = found.events.select("session_id", "item_id")
    assert set(pairs.unique().rows()) == expected
    assert not pairs.filter(found.events["label"] == 0).is_duplicated().any()


def test_real_trivago_each_clickout(shared_data, tmp_path):
    builder = Trivago(data_dir=tmp_path, config="clickouts")
    sessions = builder.read(shared_data / Trivago.FILES["train"])
    assert (sessions.num_users, sessions.num_sessions) == (6_593, 13_597)
    assert sessions.events["label"].sum() == 13_597


def test_real_globo(shared_data, tmp_path):
    name = Globo.FILES["train"]
    builder = Globo(data_dir=tmp_path)
    sessions = builder.read(shared_data / name)
    assert (sessions.num_events, sessions.num_sessions) == (901_032, 318_563)
    assert (sessions.num_users, sessions.events["item_id"].n_unique()) == (175_775, 16_998)

    # TFDS needs minutes to write all 318,563 examples: a prefix is written instead.
    pl.read_parquet(shared_data / name, n_rows=5_000).write_parquet(tmp_path / name)
    prefix = builder.read(tmp_path / name)
    found = sessions_from_tfds(prepare(Globo, tmp_path, tmp_path).as_dataset(split="train"))
    assert found.events.select(prefix.events.columns).equals(prefix.events)
