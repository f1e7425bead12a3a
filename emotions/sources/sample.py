"""What every data source yields."""

from dataclasses import dataclass
from typing import Literal


class SourceError(ValueError):
    """Input data that cannot be used; the message names the file (and row) and the remedy."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and its labels, as the source has them.

    `source_id`: the source's own name of the image, unique within role. `content`: the original bytes
    (encoded image). `label`, `role`, `split`, `action_units`, `group`, `shares`: as in `manifest.Row`.
    `regions`: region map as PNG bytes (see `regions.REGIONS`), where known exactly. `place`: where the
    image lies, as messages print it.

    An unavailable image has empty `content` and a `fault`: `missing` (the source lists it, but its file is
    not there), `absent` (the same for images that the source may lack) or `damaged` (`place` says how).
    """

    source_id: str
    label: str
    role: str
    split: str
    content: bytes
    action_units: str = ""
    group: str = ""
    shares: str = ""
    regions: bytes | None = None
    place: str = ""
    fault: Literal["", "missing", "absent", "damaged"] = ""
