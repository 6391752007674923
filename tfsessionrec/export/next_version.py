"""Numbers of versions."""

import os
import pathlib


def next_version(base: str | os.PathLike[str]) -> pathlib.Path:
    """The directory of the next version of a model: `base` and the lowest number above all others.

    Args:
        base: The directory that holds numbered versions, as TensorFlow Serving watches it; it need
            not exist yet.

    Returns:
        `base`/1 for the first. The directory is not made: if somebody else makes it first,
        `export_saved_model` refuses.

    Raises:
        ValueError: If `base` is no directory, or an export itself.

    Example:

    ```python
    sr.export.export_saved_model(model, sr.export.next_version("exported/shop"), vocabulary)
    ```
    """
    base = pathlib.Path(base)
    if (base.exists() and not base.is_dir()) or (base / "saved_model.pb").exists():
        raise ValueError(
            "`base` should be a directory of numbered versions. Received: "
            f"`base`={os.fspath(base)!r}"
        )
    entries = base.iterdir() if base.is_dir() else ()
    names = (entry.name for entry in entries)
    return base / str(1 + max((int(n) for n in names if n.isascii() and n.isdigit()), default=0))
