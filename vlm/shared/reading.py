"""Read from an answer's text its class, if any, and the action units that it names."""

import json
import re
from collections.abc import Sequence
from typing import Final

from emotions.taxonomy import ACTION_UNITS, compound_of, display, unit_numbers
from vlm.shared.backend import Reply

OUTSIDE: Final = ("empty", "refused", "cut off", "no emotion", "one emotion", "several", "not a class")
"""Reasons why an answer is not one of the classes."""

_WORDS: Final = {
    "happiness": ("happy", "happi", "joy", "delight", "cheer"),
    "sadness": ("sad", "sorrow", "unhapp", "grief", "griev"),
    "fear": ("fear", "afraid", "scare", "frighten", "terrif", "anxi"),
    "anger": ("anger", "angr", "furi", "rage", "irritat"),
    "disgust": ("disgust", "revuls", "repuls"),
    "surprise": ("surpris", "astonish", "shock", "amaze"),
}
"""Beginnings of words for each emotion. Words match from their start, so `unhappy` is sad."""
_EMOTION: Final = re.compile(
    "|".join(rf"\b(?P<{emotion}>(?:{'|'.join(words)})\w*)" for emotion, words in _WORDS.items())
)
_NOT: Final = re.compile(
    r"\b(?:not(?!\s+(?:only|just|merely|simply|solely)\b)|no|nor|without|rather than|instead of)"
    r"\s+(?:\w+ly\s+)?\w+"
)
"""A negation and the word that it negates. `not only happy` negates nothing."""


def read_class(reply: Reply, classes: Sequence[str]) -> tuple[int | None, str]:
    """Number of the class that an answer names and "", or None and the reason (see OUTSIDE).

    What counts is what follows the last `Answer:`, or the text of a JSON object's last value, or else the
    whole text. There exactly two of the six basic emotions must be named, in any order and form: `surprised
    happily`, `Happiness and surprise`. Emotions that are negated (`not angry`) are passed over.
    """
    if reply.finish in ("content_filter", "refusal"):
        return None, "refused"
    text = reply.text.strip()
    if not text:
        return None, "empty"
    marked = re.findall(r"\banswer\b\W*(.*)", text, re.IGNORECASE)
    if reply.finish == "length" and not marked:
        return None, "cut off"
    said = _NOT.sub(" ", _last_value(marked[-1] if marked and marked[-1].strip() else text).lower())
    named = {match.lastgroup for match in _EMOTION.finditer(said.replace("_", " "))}
    if len(named) != 2:
        return None, ("no emotion", "one emotion")[len(named)] if len(named) < 2 else "several"
    compound = compound_of(*sorted(str(emotion) for emotion in named))
    if compound is None or compound not in classes:
        return None, "not a class"
    return list(classes).index(compound), ""


def _last_value(text: str) -> str:
    """The last value of a JSON object, or the text as it is."""
    found = re.search(r"\{.*\}", text, re.DOTALL)
    if found:
        try:
            values = list(json.loads(found[0]).values())
        except ValueError:
            return text
        return str(values[-1]) if values else ""
    return text


def read_units(text: str) -> frozenset[int] | None:
    """Action units that an answer names after `Action units:`, by number or by name; None where it has no
    such line."""
    line = re.search(r"\baction units?\b\W*:\W*(.*)", text, re.IGNORECASE)
    if line is None:
        return None
    said = line[1].lower()
    numbers = {int(n) for n in re.findall(r"(?<!\d)(?:au\s*)?[lrtb]?(\d{1,2})(?!\d)", said)}
    return frozenset(u for u, name in ACTION_UNITS.items() if u in numbers or name in said)


def coded_units(text: str) -> frozenset[int] | None:
    """Action units of a manifest text that a model is asked about, without sides; None where they are not
    coded."""
    numbers = unit_numbers(text)
    return None if numbers is None else numbers & ACTION_UNITS.keys()


def names(classes: Sequence[str]) -> list[str]:
    """Class names as the model is given them."""
    return [display(label) for label in classes]
