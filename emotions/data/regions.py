"""Names of the parts of a picture of a face."""

from typing import Final

REGIONS: Final = ("background", "hair", "other_face", "brows", "eyes", "nose", "mouth", "cheeks")
"""Region names; a region map (8-bit grey, the picture's size) holds in each pixel the position in this tuple.

`background` is all that is not head: neck and clothes too. `brows` includes the skin between them, `eyes` the
lids, `mouth` the lips and all between them; `other_face` is the rest of the head (forehead, chin, jaw, ears).
"""
