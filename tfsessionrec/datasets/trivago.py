"""trivago hotel searches."""

import dataclasses
import pathlib

import polars as pl
import tensorflow as tf
import tensorflow_datasets as tfds

from tfsessionrec.data import Sessions, read_events, sessionize
from tfsessionrec.datasets.session_builder import SessionBuilder


@dataclasses.dataclass
class TrivagoConfig(tfds.core.BuilderConfig):
    """Defines a session of `Trivago`.

    Attributes:
        each_clickout: Whether every clickout is its own session. Defaults to False: the log's
            sessions.
    """

    each_clickout: bool = False


class Trivago(SessionBuilder):
    """Hotels shown and clicked at trivago (RecSys Challenge 2019). One split, `train`.

    It reads the clickouts, each with the hotels that were shown, and no other action: the clicked
    hotel is positive, the others are negatives, in display order (prices are left out). Hotel ids
    are strings.

    Configurations: `sessions` (the default), the log's own sessions, in which a hotel is a negative
    at most once and never if it was clicked; and `clickouts`, where each clickout is a session and
    repeated lists count again.

    References:

    - [Knees et al., 2019](https://doi.org/10.1145/3298689.3346974), RecSys Challenge 2019.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012
    BUILDER_CONFIGS = [  # noqa: RUF012
        TrivagoConfig(name="sessions", description="The log's own sessions."),
        TrivagoConfig(
            name="clickouts", description="Each clickout as a session.", each_clickout=True
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put `trivago_val_100k.parquet` there: events of the challenge's log "
        "(https://recsys.trivago.cloud), columns user_id session_id timestamp step action_type "
        "reference platform city device impressions."
    )
    FILES = {"train": "trivago_val_100k.parquet"}  # noqa: RUF012
    USER_TYPE = tf.string
    SESSION_TYPE = tf.string
    ITEM_TYPE = tf.string
    SESSION_COLUMNS = {"platform": tf.string, "device": tf.string}  # noqa: RUF012
    ITEM_COLUMNS = {"city": tf.string}  # noqa: RUF012
    DESCRIPTION = "Hotels shown and clicked at trivago, RecSys Challenge 2019."
    HOMEPAGE = "https://recsys.trivago.cloud"

    def read(self, path: pathlib.Path) -> Sessions:
        clickouts = read_events(path).filter(pl.col("action_type") == "clickout item")
        if self.builder_config.each_clickout:
            clickouts = clickouts.with_columns(
                session_id=pl.format("{}/{}", "session_id", pl.int_range(pl.len()))
            )
        return sessionize(
            clickouts,
            user="user_id",
            session="session_id",
            item="reference",
            time="timestamp",
            impressions="impressions",
            keep=[*self.SESSION_COLUMNS, *self.ITEM_COLUMNS],
        )
