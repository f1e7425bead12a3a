"""Collect the images of the chosen source: original bytes, the manifest, and what was dropped and why.

Usage: python -m stages.extract
"""

from pathlib import Path
from typing import Any

from rafce import audit, console, manifest, outs
from rafce.sources import SOURCES, DataParams
from rafce.taxonomy import compound_classes
from stages import command

PARAMS = {"data": DataParams}
RAW = Path("data/raw")
OUT = Path("data/extracted")
COUNTS = Path("metrics/data.json")


def main(values: dict[str, Any]) -> None:
    data: DataParams = values["data"]
    source = SOURCES[data.source]
    total, samples = source.read(RAW / data.source, data.classes, data.own())

    with outs.new_folder(OUT) as folder:
        rows = []
        for sample in console.progress(f"extract {data.source}", total, samples):
            row, files = audit.identify(sample)
            for path, content in files.items():
                outs.write_bytes(folder / path, content)
            rows.append(row)
        kept, dropped = audit.drop_copies(rows)
        kept = audit.only_classes(kept, compound_classes(data.classes))
        for row in set(rows) - set(kept):
            for path in filter(None, (row.image, row.regions)):
                (folder / path).unlink()
        outs.write_text(folder / "manifest.csv", manifest.write(kept))
        outs.write_text(folder / "dropped.csv", audit.dropped_csv(dropped))
        outs.write_json(COUNTS, audit.counts(data.source, kept, dropped, compound_classes(data.classes)))


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
