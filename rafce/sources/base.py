"""What every data source yields."""

from dataclasses import dataclass


class SourceError(ValueError):
    """Input data that cannot be used; the message names the file (and row) and the remedy."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image as the source has it, with what the source says of it.

    `source_id`: the source's own name of the image, unique within role. `content`: the original bytes
    (encoded image). `suffix`: file suffix of `content`, `.jpg` or `.png`. `label`, `role`, `split`,
    `action_units`, `group`: as in `rafce.manifest.Row`. `regions`: region map as PNG bytes (see
    `rafce.regions.REGIONS`), where known exactly.
    """

    source_id: str
    label: str
    role: str
    split: str
    content: bytes
    suffix: str
    action_units: str = ""
    group: str = ""
    regions: bytes | None = None
