"""What all tests share."""

import gc
import os
import pathlib
import sys
import typing
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import polars as pl
import pytest

# Asks for Keras 2 before a test touches TensorFlow.
from tfsessionrec import data

ROOT = pathlib.Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that read a real log are slow."""
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module", autouse=True)
def clear_models() -> Iterator[None]:
    """Frees the graphs of a file, without which a worker grows to gigabytes."""
    yield
    if "tensorflow" in sys.modules:
        from tfsessionrec.backend import keras

        keras.backend.clear_session()
        gc.collect()


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real logs beside the checkout; skips where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real logs (../shared/data) are not here")
    return folder


class GloboNextClick(typing.NamedTuple):
    """Clicks of the protocol P2: of training, all later ones, and those to predict."""

    training: pl.DataFrame
    later: pl.DataFrame
    asked: pl.DataFrame

    @staticmethod
    def sessions(clicks: pl.DataFrame) -> data.Sessions:
        return data.sessionize(
            clicks,
            session="session_id",
            item="click_article_id",
            time="click_timestamp",
            time_unit="ms",
        )


@pytest.fixture(scope="session")
def globo_next_click(shared_data: pathlib.Path) -> GloboNextClick:
    """The published protocol, cut here by itself, not by `benchmarks/prepare_globo.py`.

    All clicks of the sessions of hours 0 to 71 are trained on, and 2,628 of them happen in the time
    of the test: figures of it are comparable with published ones and with no others.
    """
    log = pl.read_parquet(shared_data / "globo_clicks_hours_000_095.parquet")
    training, later = log.filter(pl.col("hour") < 72), log.filter(pl.col("hour") >= 72)
    first = later["session_id"].unique(maintain_order=True).head(20_000)
    known = training["click_article_id"].unique()
    asked = later.filter(
        pl.col("session_id").is_in(first.implode())
        & pl.col("click_article_id").is_in(known.implode())
    ).filter(pl.len().over("session_id") > 1)
    return GloboNextClick(training, later, asked)
