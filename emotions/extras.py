"""Libraries beyond the study's own: each extra has a lock, `requirements-<extra>.txt`, and a make target."""

import contextlib
from collections.abc import Iterator
from typing import Literal

Extra = Literal["demo", "vlm"]


class MissingExtraError(ImportError):
    """A module whose extra is not installed; the message names the extra and the command."""


@contextlib.contextmanager
def importing(extra: Extra) -> Iterator[None]:
    """Wrap the imports of an extra's libraries.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed; it comes with the extra `{extra}`: make {extra}-extra"
        ) from error
