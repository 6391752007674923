"""TensorFlow Datasets builders for public session logs, read from the user's folder.

Importing this room registers them, so that `tfds.load("globo", ...)` finds them too. They download
nothing: the logs may not be redistributed.
"""

from tfsessionrec.datasets.globo import Globo
from tfsessionrec.datasets.session_builder import SessionBuilder
from tfsessionrec.datasets.trivago import Trivago
from tfsessionrec.datasets.yoochoose import Yoochoose

__all__ = ["Globo", "SessionBuilder", "Trivago", "Yoochoose"]
