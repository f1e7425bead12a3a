"""The report's sentences by language: messages of `templates/<language>.ftl`, numbers as it writes them."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from babel.numbers import format_decimal
from fluent.runtime import FluentBundle, FluentResource
from markdown.extensions.toc import slugify

from emotions.evidence.messages import Said
from emotions.reporting.knobs import Language

LANGUAGES: Final = get_args(Language)
TEMPLATES: Final = Path(__file__).parent / "templates"
MINUS: Final = "\u2212"
NARROW: Final = "\u202f"
"""Narrow no-break space, set in French before `%`, `;`, `!`, `?` and inside quotation marks."""


class Wording:
    """Messages and numbers in one language.

    Raises:
        KeyError: the catalogue lacks a message.
        ValueError: a message is not given its values.
    """

    def __init__(self, language: Language) -> None:
        self.language = language
        functions: dict[str, Callable[..., Any]] = {
            "PERCENT": lambda x: self.percent(x) + self.unit,
            "POINTS": lambda x: self._points(self.percent(x), x),
            "CHANGE": lambda x: self._points(self.change(x), x),
            "DECIMAL": lambda x, digits: self.decimal(float(x), int(digits)),
        }
        self._bundle = FluentBundle([language], functions=functions, use_isolating=False)
        self._bundle.add_resource(FluentResource((TEMPLATES / f"{language}.ftl").read_text(encoding="utf-8")))

    @property
    def unit(self) -> str:
        """The percent sign with the space that the language sets before it."""
        return NARROW + "%" if self.language == "fr" else "%"

    def decimal(self, number: float, digits: int) -> str:
        """A number with `digits` decimals: `0.447`, in French `0,447`. Thousands are set apart; negative
        numbers have a minus sign (U+2212); `-0.0` never appears."""
        rounded = round(round(number, 6), digits) + 0.0
        text = format_decimal(rounded, "#,##0." + digits * "0" if digits else "#,##0", self.language)
        return text.replace("-", MINUS)

    def percent(self, fraction: float) -> str:
        """A fraction in percent with one decimal, without its sign."""
        return self.decimal(100 * float(fraction), 1)

    def change(self, fraction: float) -> str:
        """A difference of fractions in points, always with its sign."""
        text = self.percent(fraction)
        return text if text.startswith(MINUS) else f"+{text}"

    def known(self, text: str) -> str:
        """A title from params.yaml, translated if the catalogue knows it, else unchanged."""
        message = f"known-{slugify(text, '-')}"
        return self(message) if self._bundle.has_message(message) else text

    def __call__(self, message: str | Said, **values: Any) -> str:
        """The message in this language."""
        if isinstance(message, Said):
            return self(message.message, **message.values)
        pattern = self._bundle.get_message(message).value
        if pattern is None:
            raise KeyError(f"{self.language}.ftl: message {message!r} has no text")
        text, errors = self._bundle.format_pattern(pattern, {k: self._value(v) for k, v in values.items()})
        if errors:
            raise ValueError(f"{self.language}.ftl, message {message!r}: {errors[0]}")
        return self.typeset(str(text))

    def source(self, name: str) -> str:
        """Name of a data source from the catalogue, or its own name where the catalogue has none."""
        message = f"source-{name}"
        return self(message) if self._bundle.has_message(message) else f"`{name}`"

    def listing(self, items: Sequence[str | Said], separator: str = ", ") -> str:
        """Several items in one line."""
        return self.typeset(separator).join(self(i) if isinstance(i, Said) else i for i in items)

    def typeset(self, text: str) -> str:
        """Set no-break spaces and apostrophes by the rules of French typography."""
        if self.language != "fr":
            return text
        text = re.sub(r"(?<=[^\W\d_])'(?=\w)", "\u2019", text)
        text = re.sub(r"(?<=\S) (?=[;!?%»])|(?<=«) ", NARROW, text)
        return re.sub(r"(?<=\S) (?=:(?:\s|$))", "\u00a0", text)

    def _points(self, number: str, fraction: float) -> str:
        return f"{number} {self('points', number=round(abs(100 * float(fraction)), 1))}"

    def _value(self, value: Any) -> Any:
        if isinstance(value, Said):
            return self(value)
        if isinstance(value, list | tuple):
            return self.listing(value, "; " if self.language == "en" else " ; ")
        return value
