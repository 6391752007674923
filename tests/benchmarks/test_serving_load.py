"""The section that `benchmarks/serving_load.py` writes."""

import importlib
import json
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_section_contains_the_command_and_the_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    for folder in ("serving", "benchmarks"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    for name in ("load_test", "section", "serving_load"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    load_test, section, serving_load = map(
        importlib.import_module, ("load_test", "section", "serving_load")
    )
    monkeypatch.setattr(section, "RESULTS", tmp_path)
    step = dict.fromkeys(load_test.Step.__dataclass_fields__, 1.0)
    report = {
        "route": "a route",
        "machine": "a machine",
        "settings": {"model": "stamp", "dim": 8, "k": 5, "seed": 0},
        "catalogues": [
            {
                "items": 1234,
                "candidate_dtype": "int8",
                "export_bytes": 2**20,
                "load_seconds": 0.5,
                "steps": [step],
                "rates_not_tried": [9.0],
            }
        ],
    }

    def measured(argv: list[str]) -> int:
        assert argv[:2] == ["--seconds", "3"]
        file = pathlib.Path(argv[argv.index("--output") + 1])
        file.with_suffix(".json").write_text(json.dumps(report))
        return 0

    monkeypatch.setattr(load_test, "main", measured)
    assert serving_load.main(["--seconds", "3"]) == 0
    text = (tmp_path / "serving_load.md").read_text()
    assert text.startswith("## Load test\n\n```sh\npython benchmarks/serving_load.py --seconds 3\n")
    assert "Route: a route. a machine." in text
    assert "| 1,234 | int8 | 1 | 1 | 1.0 | 1.0 | 1.0 | 1.0 | 1.0 | 1.0 | 1.0 | yes |" in text
    assert "| 1,234 | int8 | 9 |" in text
    assert "# Load test" not in text.partition("\n")[2]
