"""matplotlib without a screen: figures as the bytes of a file, the same bytes each time."""

import io
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

__all__ = ["Figure", "jpeg", "plt", "png"]


def png(figure: Figure, dpi: int = 100) -> bytes:
    """The figure as PNG, without a note of the version that drew it. Closes it."""
    return _written(figure, format="png", dpi=dpi, metadata={"Software": None})


def jpeg(figure: Figure) -> bytes:
    """The figure as JPEG, for photographs. Closes it."""
    return _written(figure, format="jpeg", dpi=100, pil_kwargs={"quality": 85})


def _written(figure: Figure, **options: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, **options)
    plt.close(figure)
    return out.getvalue()
