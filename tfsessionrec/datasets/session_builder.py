"""The base class of the builders of session logs."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfsessionrec.data.sessions import Sessions, starts_session

Example = dict[str, object]  # feature values by name


class SessionBuilder(  # type: ignore[call-arg]
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """Base of the builders: one example a session, from the user's files.

    A subclass names its files and types and reads a file as `Sessions`. Each example holds

    | feature | type | meaning |
    | --- | --- | --- |
    | `user_id` | `USER_TYPE` | as in the log |
    | `session_id` | `SESSION_TYPE` | as in the log |
    | `session_time` | int64 | start of the session, unix seconds |
    | `item_ids` | sequence of `ITEM_TYPE` | the items in order |
    | `labels` | sequence of float32 | 1 positive, 0 shown but not clicked |
    | `timestamps` | sequence of int64 | unix microseconds (TFDS keeps floats in 32 bits) |
    | each of `SESSION_COLUMNS` | its type | one value a session, that of its first event |
    | each of `ITEM_COLUMNS` | sequence of its type | one value an item |

    Examples keep the order of `Sessions`: users in the order of their first appearance, sessions
    by time. `tfsessionrec.data.session_dataset` reads `as_dataset(split=...)` directly;
    `tfsessionrec.data.from_tfds.sessions_from_tfds` turns it back into `Sessions`.
    """

    FILES: ClassVar[Mapping[str, str]]  # split to file name
    USER_TYPE: ClassVar[tf.DType] = tf.int64
    SESSION_TYPE: ClassVar[tf.DType] = tf.int64
    ITEM_TYPE: ClassVar[tf.DType] = tf.int64
    SESSION_COLUMNS: ClassVar[Mapping[str, tf.DType]] = {}
    ITEM_COLUMNS: ClassVar[Mapping[str, tf.DType]] = {}
    DESCRIPTION: ClassVar[str]
    HOMEPAGE: ClassVar[str]

    def read(self, path: pathlib.Path) -> Sessions:
        """The sessions of one file, with `SESSION_COLUMNS` and `ITEM_COLUMNS` kept."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "user_id": self.USER_TYPE,
            "session_id": self.SESSION_TYPE,
            "session_time": tf.int64,
            "item_ids": tfds.features.Sequence(self.ITEM_TYPE),
            "labels": tfds.features.Sequence(tf.float32),
            "timestamps": tfds.features.Sequence(tf.int64),
            **self.SESSION_COLUMNS,
            **{name: tfds.features.Sequence(dtype) for name, dtype in self.ITEM_COLUMNS.items()},
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            homepage=self.HOMEPAGE,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, Example]]]:
        folder = pathlib.Path(dl_manager.manual_dir)
        for name in self.FILES.values():
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"`{name}` is not in the manual folder {folder}. "
                    f"{self.MANUAL_DOWNLOAD_INSTRUCTIONS}"
                )
        return {split: self._generate_examples(folder / name) for split, name in self.FILES.items()}

    def _generate_examples(self, path: pathlib.Path) -> Iterator[tuple[int, Example]]:
        events = self.read(path).events
        starts = np.flatnonzero(events.select(starts_session()).to_series())
        first = events[starts]
        once = {name: first[name].to_list() for name in ("user_id", "session_id")}
        once["session_time"] = np.floor(first["timestamp"].to_numpy()).astype(np.int64).tolist()
        once |= {name: first[name].to_list() for name in self.SESSION_COLUMNS}
        many = {
            "item_ids": events["item_id"].to_numpy(),
            "labels": events["label"].to_numpy(),
            "timestamps": np.round(events["timestamp"].to_numpy() * 1e6).astype(np.int64),
            **{name: events[name].to_numpy() for name in self.ITEM_COLUMNS},
        }
        ends = np.append(starts[1:], len(events))
        for row, (begin, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            example: Example = {name: values[row] for name, values in once.items()}
            example |= {name: values[begin:end] for name, values in many.items()}
            yield row, example
