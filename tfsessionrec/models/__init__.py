"""Models: the backbone (a query tower without a loss), SessionRec, and systems by name."""

from tfsessionrec.backend import require_legacy_keras

require_legacy_keras("tfsessionrec.models")

from tfsessionrec.models.backbone import SessionRecBackbone  # noqa: E402
from tfsessionrec.models.named import build, defaults, names, recipe  # noqa: E402
from tfsessionrec.models.query_tower import QueryTower  # noqa: E402
from tfsessionrec.models.session_rec import SessionRec  # noqa: E402
from tfsessionrec.recipe import Recipe  # noqa: E402

__all__ = [
    "QueryTower",
    "Recipe",
    "SessionRec",
    "SessionRecBackbone",
    "build",
    "defaults",
    "names",
    "recipe",
]
