"""The arguments of the table of item features."""

import argparse
import pathlib
from typing import TYPE_CHECKING

from tfsessionrec.cli import log_arguments

if TYPE_CHECKING:
    import polars as pl

    from tfsessionrec.systems import Settings
    from tfsessionrec.systems.settings import ItemColumns

COLUMNS = ("categorical", "multi_hot", "dense")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    items = parser.add_argument_group(
        "the items", "features of items, so that items without any event can be recommended"
    )
    items.add_argument(
        "--item-features",
        metavar="FILE",
        type=pathlib.Path,
        help="one row an item, with the --item column; sets id_dropout=0.2 unless --set says "
        "otherwise",
    )
    items.add_argument(
        "--categorical", metavar="COLUMN", action="append", help="one category an item"
    )
    items.add_argument(
        "--multi-hot", metavar="COLUMN", action="append", help="several, with | between them"
    )
    items.add_argument("--dense", metavar="COLUMN", action="append", help="a number an item")


def table(arguments: argparse.Namespace, settings: "Settings") -> "pl.DataFrame | None":
    """The table of item features; None: there is none."""
    from tfsessionrec.data.catalog import read_catalog

    if arguments.item_features is None:
        return None
    log = settings.log
    with log_arguments.notes():
        return read_catalog(arguments.item_features, log.columns.item, log.drop_missing)


def columns(arguments: argparse.Namespace, settings: "Settings") -> "ItemColumns | None":
    """Its columns that are features; those of the settings without arguments for them."""
    from tfsessionrec.systems.settings import ItemColumns

    given = {kind: tuple(getattr(arguments, kind) or ()) for kind in COLUMNS}
    if arguments.item_features is None or (settings.item_features and not any(given.values())):
        return settings.item_features
    if not any(given.values()):
        raise ValueError(
            "`--item-features` needs at least one of `--categorical`, `--multi-hot`, `--dense`"
        )
    return ItemColumns(arguments.item or settings.log.columns.item, **given)
