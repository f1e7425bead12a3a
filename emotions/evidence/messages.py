"""Language-neutral messages: a name and its values. `reporting.wording` puts them into words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Said:
    """A message of the catalogues and its values; a value may be a message or a sequence of messages."""

    message: str
    values: Mapping[str, Any] = field(default_factory=dict)


def said(message: str, **values: Any) -> Said:
    """A message with its values; its language is chosen when it is printed."""
    return Said(message, values)
