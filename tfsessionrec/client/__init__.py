"""Asks a running TensorFlow Serving for recommendations, over REST or gRPC.

Over REST nothing here imports TensorFlow. gRPC needs the extra `serving`.
"""

from tfsessionrec.client.client import Client
from tfsessionrec.client.transport import ModelReference, ServingError, VersionStatus
from tfsessionrec.client.types import History, RankedItem, Recommendation

__all__ = [
    "Client",
    "History",
    "ModelReference",
    "RankedItem",
    "Recommendation",
    "ServingError",
    "VersionStatus",
]
