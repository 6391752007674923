"""What `import tfsessionrec.data` costs and offers."""

import subprocess
import sys

import pytest

import tfsessionrec as sr


def test_no_tensorflow_until_datasets_are_touched() -> None:
    code = (
        "import sys, tfsessionrec as sr\n"
        "for name in set(dir(sr.data)) - {'session_dataset', 'sessions_from_tfds'}:\n"
        "    getattr(sr.data, name)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_are_functions_whoever_imports_their_modules() -> None:
    code = (
        "import tfsessionrec.data.simulate, tfsessionrec.data.sessionize\n"
        "import tfsessionrec as sr\n"
        "assert callable(sr.data.simulate) and callable(sr.data.sessionize)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'sessionise'"):
        sr.data.sessionise  # noqa: B018
    assert "session_dataset" in dir(sr.data)
