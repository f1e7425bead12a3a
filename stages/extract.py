"""Collect the images of the chosen source: original bytes, the manifest, and what was dropped and why.

Usage: python -m stages.extract
"""

from pathlib import Path

from tqdm import tqdm

from rafce import audit, manifest, outs, params
from rafce.sources import SOURCES, DataParams
from rafce.taxonomy import compound_classes

PARAMS = {"data": DataParams}
RAW = Path("data/raw")
OUT = Path("data/extracted")
COUNTS = Path("metrics/data.json")


def main() -> None:
    data: DataParams = params.read(Path("params.yaml"), PARAMS)["data"]
    source = SOURCES[data.source]
    total, samples = source.read(RAW / data.source, data.classes, data.own())

    with outs.new_folder(OUT) as folder:
        rows = []
        for sample in tqdm(samples, f"extract {data.source}", total, unit="img", disable=None):
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
    main()
