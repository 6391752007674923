"""Tasks on TensorFlow Recommenders: retrieval of, and ranking inside, the next session."""

from tfsessionrec.backend import require_legacy_keras

require_legacy_keras("tfsessionrec.tasks")

from tfsessionrec.tasks.next_session_retrieval import NextSessionRetrieval  # noqa: E402
from tfsessionrec.tasks.session_ranking import SessionRanking  # noqa: E402

__all__ = ["NextSessionRetrieval", "SessionRanking"]
