"""What all tests share."""

import gc
import os
import pathlib
import re
import sys
import typing
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import polars as pl
import pytest

# Asks for Keras 2 before a test touches TensorFlow.
from tfsessionrec import data

ROOT = pathlib.Path(__file__).resolve().parents[1]

# `make test` runs one or two variants of each expensive test; `make test-all` also these. Regular
# expressions that match the start of `FILE::TEST[PARAMETERS]`.
SLOW_VARIANTS = (
    # Systems of the harness whose seams other systems of it have, too.
    r"seams/test_trained_equals_served\.py::\w+\[(types|session times|item times|context|everything"
    r"|next item|next item, labels|next item, next session|running session|whole history"
    r"|whole history, everything)\]",
    r"seams/test_trained_equals_served\.py::test_batches_are_the_same\[(whole|running session)",
    r"seams/test_unknown_histories\.py::test_popularity_answers_everywhere\[(?!sasrec)",
    # A training that is resumed, extended or validated at other moments.
    r"systems/test_validation\.py::test_a_resumed_training_equals_\w+\[(5|2)",
    r"systems/test_model_directory\.py::test_a_resumed_training_\w+\[(?!write-3_1|on_train_batch_end-4)",
    r"systems/test_model_directory\.py::test_names_that_are_patterns\[(?!a\[1\]b)",
    r"systems/test_extending\.py::test_the_command\[more[12]",
    r"systems/test_recommend_all\.py::test_\w+\[(sasrec|stamp|two-tower)",
    r"cli/test_evaluate_models\.py::test_the_questions_are_those_of_the_log\[\w+-True",
    r"cli/test_evaluate_models\.py::test_the_questions_are_those_of_the_log\[rest",
    r"cli/test_export\.py::test_(check|recommend_asks_the_trained_model)\[sasrec",
    r"systems/test_trained_systems\.py::test_(saved|exported)\w+\[(sasrec|two-tower)",
    r"systems/test_validation\.py::test_the_metric_is_that_of_evaluate\[next_item",
    # The commands with every kind of system: the harness has one of each.
    r"cli/test_systems\.py::test_train_evaluate_export_recommend\[(?!sessionrec-hstu)",
    r"cli/test_(side_information|interests)\.py::",
    r"models/test_build\.py::test_learns_and_answers\[(?!sessionrec-sasrec|sasrec|stamp|two-tower)",
    r"models/test_every_combination\.py::test_each_encoder_is_exported\[(?!gru-hstu|mean-mlp)",
    r"models/test_(session_rec|interests)\.py::test_modes_train_alike\[(eager|xla)",
    r"models/test_composition\.py::test_hstu_alone_replaces\w+\[gru",
    r"models/test_interests\.py::test_mixed_precision\[mixed_float16",
    r"models/test_new_items\.py::",
    r"tasks/test_tasks\.py::test_trains_and_saves_inside_a_model\[True",
    r"layers/test_functional_model\.py::test_fit\[(attention, mlp|srgnn, gru)",
    r"models/test_sample_weights\.py::test_losses_are_weighted_means\[xla",
    r"models/test_sample_weights\.py::test_mixed_precision\[mixed_float16",
    r"models/test_fit_arguments\.py::test_batches_padded_at_the_left_are_refused\[True",
    r"models/test_build\.py::test_a_batch_of_another_layout_warns\[(?!sasrec|two-tower)",
    # The same export with integer ids, another precision or other rules.
    r"export/test_saved_model\.py::test_keras_model_leaves_optimizer_and_losses_behind\[mixed",
    r"export/test_saved_model\.py::test_items_that_were_not_clicked_are_no_history\[int64",
    r"export/test_routes\.py::test_(c_api|compat_v1_session)\[int64",
    r"export/test_recommender\.py::test_rules\[int64",
    r"export/test_side_inputs\.py::test_deprecated_keywords\[keywords[1-6]",
    r"export/test_side_inputs\.py::test_times_where_the_model_reads_them\[(?!sessionrec-(hstu-options0|sasrec))",
    r"export/test_check\.py::test_damage_that_checksums_do_not_see\[(changed-expected[678]|swap_l)",
    r"export/test_side_inputs\.py::test_without_a_spec_the_model_says_\w+\[reads[12]",
    r"export/test_recommender\.py::test_(newest_version|equals_the_live)\w+\[int64",
    r"export/test_(saved_model|filtered)\.py::\w+\[int64",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests slow that read a real log, or that are further variants of an expensive one."""
    slow = re.compile("|".join(SLOW_VARIANTS))
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()) or slow.match(item.nodeid[6:]):
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
    """The folder of real logs next to the checkout; skips where it is absent."""
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
