"""What `import tfsessionrec.data` costs and offers."""

import subprocess
import sys

import pytest

import tfsessionrec as sr


def test_no_tensorflow_until_datasets_are_touched() -> None:
    code = (
        "import sys, tfsessionrec as sr\n"
        "tensors = {'session_dataset', 'protocol_batches', 'sessions_from_tfds'}\n"
        "for name in set(dir(sr.data)) - tensors:\n"
        "    getattr(sr.data, name)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_are_functions_whatever_is_imported() -> None:
    code = (
        "import importlib, pkgutil, types, tfsessionrec as sr\n"
        "for module in pkgutil.iter_modules(sr.data.__path__):\n"
        "    assert module.name not in sr.data.__all__, module.name\n"
        "    importlib.import_module(f'tfsessionrec.data.{module.name}')\n"
        "for name in sr.data.__all__:\n"
        "    assert callable(getattr(sr.data, name)), name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'sessionise'"):
        sr.data.sessionise  # noqa: B018
    assert "session_dataset" in dir(sr.data)
