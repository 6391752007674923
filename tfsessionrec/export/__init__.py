"""From a trained model to a SavedModel that TensorFlow Serving runs as it is."""

from tfsessionrec.export.check import check_saved_model
from tfsessionrec.export.check_report import CheckReport, CheckStep
from tfsessionrec.export.item_attributes import ItemAttributes
from tfsessionrec.export.live_files import write_availability_file, write_trend_file
from tfsessionrec.export.ranking import CandidateOptions
from tfsessionrec.export.recommender import Recommender, load_saved_model
from tfsessionrec.export.saved_model import export_saved_model
from tfsessionrec.export.signatures import ServingSignatures
from tfsessionrec.export.version_directory import next_version, reserved_next_version

__all__ = [
    "CandidateOptions",
    "CheckReport",
    "CheckStep",
    "ItemAttributes",
    "Recommender",
    "ServingSignatures",
    "check_saved_model",
    "export_saved_model",
    "load_saved_model",
    "next_version",
    "reserved_next_version",
    "write_availability_file",
    "write_trend_file",
]
