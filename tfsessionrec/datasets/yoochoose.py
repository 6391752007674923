"""YooChoose clicks."""

import pathlib

import tensorflow_datasets as tfds

from tfsessionrec.data import Sessions, read_events, sessionize
from tfsessionrec.datasets.session_builder import SessionBuilder


class Yoochoose(SessionBuilder):
    """Clicks of anonymous visitors of a shop (RecSys Challenge 2015), prepared by session-rec.

    Splits `train` and `test` (later sessions, no item unseen in `train`). Each session has its own
    user and at least two clicks; repeated clicks are kept. All clicks are positives.

    Example:

    ```python
    builder = sr.datasets.Yoochoose(data_dir="tfds")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir="logs")
    )
    dataset = sr.data.session_dataset(builder.as_dataset(split="train"), vocabulary)
    ```

    References:

    - [Ludewig et al., 2021](https://doi.org/10.1007/s11257-020-09277-1), session-rec.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put `yoochoose-clicks-100k_train_full.txt` and `yoochoose-clicks-100k_test.txt` of the "
        "session-rec benchmark (https://github.com/rn5l/session-rec) there: tab-separated, "
        "columns SessionId ItemId Time."
    )
    FILES = {  # noqa: RUF012
        "train": "yoochoose-clicks-100k_train_full.txt",
        "test": "yoochoose-clicks-100k_test.txt",
    }
    DESCRIPTION = "Clicks of anonymous visitors of a shop, RecSys Challenge 2015."
    HOMEPAGE = "https://github.com/rn5l/session-rec"

    def read(self, path: pathlib.Path) -> Sessions:
        return sessionize(
            read_events(path, separator="\t"), session="SessionId", item="ItemId", time="Time"
        )
