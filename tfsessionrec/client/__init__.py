"""Asking a running TensorFlow Serving for recommendations, over REST or gRPC.

Over REST nothing here imports TensorFlow. gRPC needs the extra `serving`.
"""

from tfsessionrec.client.client import Client
from tfsessionrec.client.history import History
from tfsessionrec.client.model_reference import ModelReference
from tfsessionrec.client.ranked_item import RankedItem
from tfsessionrec.client.recommendation import Recommendation
from tfsessionrec.client.serving_error import ServingError
from tfsessionrec.client.version_status import VersionStatus

__all__ = [
    "Client",
    "History",
    "ModelReference",
    "RankedItem",
    "Recommendation",
    "ServingError",
    "VersionStatus",
]
