"""The second pipeline: a vision-language model asked about the images of the study (docs/vlm.md)."""

import argparse
import importlib.metadata
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rafce import console, params

STUDY = Path("params.yaml")
OWN = Path("vlm/params.yaml")
LOGS = Path("logs")
PACKAGES = ("torch", "transformers", "openai", "numpy")


def command(
    main: Callable[..., None], study: Mapping[str, Any], own: Mapping[str, Any], stage: str, usage: str | None
) -> None:
    """Run a stage as its command line says: `main(values)`, or `main(values, way)` where a group is a way's.

    `values` are the validated params of `study`, from the study's params.yaml, and of `own`, from this
    pipeline's; see `rafce.params.read`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m vlm.{stage}",
        description=usage,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if any("{way}" in key for key in own):
        parser.add_argument("way", help="a block under `ways` in vlm/params.yaml")
    named = vars(parser.parse_args())
    name = "@".join([stage, *named.values()])
    file_name = re.sub(r"[^\w@]", "_", name)
    with console.session(name, LOGS / f"vlm_{file_name}.log"):
        versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in PACKAGES)
        console.log.info(f"python {platform.python_version()}, {versions}, {platform.platform()}")
        values = params.read(STUDY, study) | params.read(OWN, own, **named)
        for key, value in values.items():
            console.log.info(f"{key.format(**named)}: {value}")
        main(values, *named.values())
