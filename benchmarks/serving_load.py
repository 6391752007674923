"""The load test of `serving/load_test.py` as a section of `RESULTS.md`.

    python benchmarks/serving_load.py --seconds 10

Takes the arguments of `serving/load_test.py` except `--output`; see its help for what is measured.
An export of 10^7 items takes minutes and several times the memory of its candidate table.
"""

import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence

from section import command, write_section

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "serving"))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the load test and writes the section."""
    import load_test

    words = sys.argv[1:] if argv is None else list(argv)
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "load_test"
        load_test.main([*words, "--output", str(output)])
        report = json.loads(output.with_suffix(".json").read_text())
    text = load_test.markdown(report).partition("\n")[2].strip()
    about = (
        "Open-loop load: each request is sent when it is due, even if earlier ones are unanswered. "
        "Session lengths and item popularity follow power laws (`serving/load_test.py`). For each "
        "catalogue the rates rise up to the first one that is not sustained."
    )
    write_section("serving_load", "Load test", command("serving_load", argv), about, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
