"""Names that people give to folders of classes, read as classes where only one reading is possible."""

import re
from typing import Final

from emotions.taxonomy import BASIC, COMPOUND, compound_of

WORDS: Final = {
    "surprise": ("surprise", "surprised", "surprisedly", "surprisingly"),
    "fear": ("fear", "fearful", "fearfully", "afraid", "scared"),
    "disgust": ("disgust", "disgusted", "disgustedly"),
    "happiness": ("happiness", "happy", "happily", "joy", "joyful", "joyfully"),
    "sadness": ("sadness", "sad", "sadly"),
    "anger": ("anger", "angry", "angrily"),
    "neutral": ("neutral", "neutrality"),
}
"""Words for each basic emotion."""
_EMOTION_OF: Final = {word: emotion for emotion, words in WORDS.items() for word in words}
_LONGEST_FIRST: Final = "|".join(sorted(_EMOTION_OF, key=lambda word: -len(word)))
_NAME: Final = re.compile(rf"(?:(?:{_LONGEST_FIRST})(?:and)?)+?")
_WORD: Final = re.compile(rf"({_LONGEST_FIRST})(?:and)?")


def label_of(name: str) -> str | None:
    """The class that a folder name means, or None: `Happily_Surprised`, `angrily disgusted`, `SadlyAngry`,
    `happy & surprised`, `03_sadly_angry`, `Angry`.

    Case, and all that is not a letter, do not count. One emotion is a basic class; two are the compound of
    both, in either order.
    """
    letters = re.sub(r"[^a-z]", "", name.casefold())
    if not _NAME.fullmatch(letters):
        return None
    emotions = [_EMOTION_OF[word] for word in _WORD.findall(letters)]
    if len(emotions) == 1:
        return emotions[0]
    return compound_of(*emotions) if len(emotions) == 2 and len(set(emotions)) == 2 else None


ROLE_OF_LABEL: Final = {**dict.fromkeys(COMPOUND, "compound"), **dict.fromkeys(BASIC, "basic")}
