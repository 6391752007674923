"""A file of recommendations that grows while they are made, and appears when it is whole."""

import os
import pathlib
import uuid
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow.parquet

SUFFIXES = (".parquet", ".csv", ".jsonl", ".ndjson")


class ListFile:
    """Writes frames one after another, as Parquet, CSV or JSON lines by the suffix of the path.

    The rows go to a hidden file next to the path, which takes its place when all are written; after
    an error, it is removed and an earlier file stays.

    Args:
        path: The file; missing parent folders are created.

    Raises:
        ValueError: If the suffix is unknown, or the path is a folder.

    Example:

    ```python
    with ListFile("recs.parquet") as file:
        file.write(frame)
    ```
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        if self.path.suffix.lower() not in SUFFIXES or self.path.is_dir():
            raise ValueError(
                f"`output` should be a file that ends in {', '.join(SUFFIXES[:-1])} or "
                f"{SUFFIXES[-1]}. Received: `output`={os.fspath(path)!r}"
            )
        self._part = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}.part")
        self._parquet: pyarrow.parquet.ParquetWriter | None = None
        self._is_new = True

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("wb")
        return self

    def write(self, rows: pl.DataFrame) -> None:
        """Adds rows; all frames have the same columns."""
        suffix = self.path.suffix.lower()
        if suffix == ".parquet":
            table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
            if self._parquet is None:
                self._parquet = pyarrow.parquet.ParquetWriter(self._file, table.schema)
            self._parquet.write_table(table)
        elif suffix == ".csv":
            rows.write_csv(self._file, include_header=self._is_new)
        else:
            rows.write_ndjson(self._file)
        self._is_new = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._parquet is not None:
                self._parquet.close()
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._part.replace(self.path)
        finally:
            self._file.close()
            self._part.unlink(missing_ok=True)
