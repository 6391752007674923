"""Globo.com news."""

import pathlib

import tensorflow as tf
import tensorflow_datasets as tfds

from tfsessionrec.data import Sessions, read_events, sessionize
from tfsessionrec.datasets.session_builder import SessionBuilder


class Globo(SessionBuilder):
    """Clicks of the readers of a news portal, many with several sessions. One split, `train`.

    All clicks are positives, no article repeats within a session, and every session has at least
    two clicks. The time of each session's last click is imputed: exactly 30 s after the one before.
    A feature made of the times within a session reveals where it ends.

    `hour` is the session's hour since the log began.

    References:

    - [Moreira et al., 2018](https://doi.org/10.1145/3270323.3270328), CHAMELEON.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put `globo_clicks_hours_000_095.parquet` there: the first 96 hourly files of "
        "https://www.kaggle.com/datasets/gspmoreira/news-portal-user-interactions-by-globocom, "
        "concatenated, with a column `hour`."
    )
    FILES = {"train": "globo_clicks_hours_000_095.parquet"}  # noqa: RUF012
    SESSION_COLUMNS = {"hour": tf.int64}  # noqa: RUF012
    ITEM_COLUMNS = {  # noqa: RUF012
        "environment": tf.int64,
        "device_group": tf.int64,
        "os": tf.int64,
        "country": tf.int64,
        "region": tf.int64,
        "referrer_type": tf.int64,
    }
    DESCRIPTION = "Clicks of the readers of the Globo.com news portal, October 2017."
    HOMEPAGE = (
        "https://www.kaggle.com/datasets/gspmoreira/news-portal-user-interactions-by-globocom"
    )

    def read(self, path: pathlib.Path) -> Sessions:
        columns = {name: f"click_{name}" for name in self.ITEM_COLUMNS}
        columns["device_group"] = "click_deviceGroup"
        return sessionize(
            read_events(path, columns),
            user="user_id",
            session="session_id",
            item="click_article_id",
            time="click_timestamp",
            time_unit="ms",
            keep=["hour", *self.ITEM_COLUMNS],
        )
