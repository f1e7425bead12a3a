"""Named random streams: every draw of the project derives from one seed and the name of its purpose.

Two streams with different names are independent, so changing one knob (say, the augmentation) does not
reshuffle what another one draws (say, the order of the images).
"""

import hashlib

import numpy as np


def stream_seed(seed: int, *name: str | int) -> int:
    """A 63-bit seed for the stream `name`, e.g. `torch.Generator().manual_seed(stream_seed(0, "order",
    epoch))`."""
    text = "/".join(str(part) for part in (seed, *name))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_stream(seed: int, *name: str | int) -> np.random.Generator:
    """NumPy generator of the stream `name`."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, *name)))
