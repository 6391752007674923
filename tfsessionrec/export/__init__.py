"""From a trained model to a SavedModel that TensorFlow Serving runs as it is."""

from tfsessionrec.export.availability_file import write_availability_file
from tfsessionrec.export.check import check_saved_model
from tfsessionrec.export.check_report import CheckReport, CheckStep
from tfsessionrec.export.next_version import next_version
from tfsessionrec.export.recommender import Recommender, load_saved_model
from tfsessionrec.export.saved_model import export_saved_model
from tfsessionrec.export.serving_signatures import ServingSignatures
from tfsessionrec.export.trend_file import write_trend_file

__all__ = [
    "CheckReport",
    "CheckStep",
    "Recommender",
    "ServingSignatures",
    "check_saved_model",
    "export_saved_model",
    "load_saved_model",
    "next_version",
    "write_availability_file",
    "write_trend_file",
]
