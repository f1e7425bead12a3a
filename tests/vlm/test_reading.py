"""What a model says becomes one class, or none with a reason; and the action units that it names."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions.taxonomy import ACTION_UNITS, COMPOUND, components, compound_classes, display
from vlm.shared.backend import Reply
from vlm.shared.reading import OUTSIDE, coded_units, names, read_class, read_units

CLASSES = compound_classes("rafdb11")
FORMS = {
    "happiness": ("Happily", "happy", "Happiness", "joyful"),
    "sadness": ("Sadly", "sad", "sadness", "unhappy"),
    "fear": ("Fearfully", "afraid", "fear", "scared"),
    "anger": ("Angrily", "angry", "anger", "furious"),
    "disgust": ("Disgustedly", "disgusted", "Disgust", "revulsion"),
    "surprise": ("Surprised", "surprisingly", "surprise", "astonished"),
}


def said(text: str, finish: str = "stop") -> Reply:
    return Reply(text, finish, 1, 1)


def read(text: str, finish: str = "stop") -> str | None:
    number, reason = read_class(said(text, finish), CLASSES)
    assert (number is None) == bool(reason) and (not reason or reason in OUTSIDE)
    return None if number is None else CLASSES[number]


@given(
    st.sampled_from(COMPOUND),
    st.booleans(),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.sampled_from([" ", "-", "_", " and ", ", ", " / ", " + "]),
    st.sampled_from(
        ["{}", "{}.", "**{}**", "Answer: {}", "The face is\n\nAnswer: **{}**\n", '{{"emotion": "{}"}}',
         "Action units: 1, 12\nReasoning: sad and angry brows, happy mouth, some fear.\nAnswer: {}",
         '```json\n{{"units": [1, 2], "emotion": "{}"}}\n```'],
    ),
    st.sampled_from([str, str.lower, str.upper]),
)  # fmt: skip
def test_every_class_is_read_in_any_order_form_and_wrapping(
    label: str, swapped: bool, forms: tuple[int, int], between: str, wrapping: str, case: type[str]
) -> None:
    words = [FORMS[emotion][form] for emotion, form in zip(components(label), forms, strict=True)]
    text = wrapping.format(case(between.join(words[::-1] if swapped else words)))
    number, reason = read_class(said(text), COMPOUND)
    assert (number, reason) == (COMPOUND.index(label), "")


def test_the_names_that_models_are_told_are_read_back() -> None:
    assert [read_class(said(name), COMPOUND)[0] for name in names(COMPOUND)] == list(range(14))


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ("", "stop", "empty"),
        ("  \n", "stop", "empty"),
        ("I cannot judge people's emotions.", "refusal", "refused"),
        ("Happily surprised", "content_filter", "refused"),
        ("Happily surprised, because the mouth", "length", "cut off"),
        ("Action units: 1, 2\nReasoning: happy and surprised since", "length", "cut off"),
        ("42", "stop", "no emotion"),
        ("Something happens, please rotate the angle", "stop", "no emotion"),
        ("{}", "stop", "no emotion"),
        ("Happy", "stop", "one emotion"),
        ("Not angry, but happy", "stop", "one emotion"),
        ("Happily surprised or sadly fearful", "stop", "several"),
        ("Answer: happy, sad, angry", "stop", "several"),
        ("Happily fearful", "stop", "not a class"),
        ("Fearfully disgusted", "stop", "not a class"),
    ],
)
def test_what_is_no_class_has_its_reason(text: str, finish: str, reason: str) -> None:
    assert read_class(said(text, finish), CLASSES) == (None, reason)


def test_each_reason_occurs_above() -> None:
    marks = test_what_is_no_class_has_its_reason.pytestmark  # type: ignore[attr-defined]
    assert {case[2] for case in marks[0].args[1]} == set(OUTSIDE)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The face is happily surprised, not angrily disgusted", "Happily_Surprised"),
        ("Answer: sadly angry\nAnswer: happily disgusted", "Happily_Disgusted"),
        ("Answer:\n\n**Surprised, sadly**", "Sadly_Surprised"),
        ("Answer: Happily surprised\nand more that is cut o", "Happily_Surprised"),
        ('{"reasoning": "sad brows, happy mouth", "emotion": "fearfully angry"}', "Fearfully_Angry"),
        ('{"emotion": broken} happily surprised', "Happily_Surprised"),
        ("Not only happy but also surprised", "Happily_Surprised"),
        ("Answer: not just sad, but angry as well", "Sadly_Angry"),
        ("Not really happy: sad and afraid", "Sadly_Fearful"),
    ],
)
def test_the_last_answer_counts_and_denied_emotions_do_not(text: str, label: str) -> None:
    assert read(text, "length" if text.endswith("cut o") else "stop") == label


@given(st.text(max_size=200), st.sampled_from(["stop", "length", "refusal"]))
def test_no_text_is_an_error(text: str, finish: str) -> None:
    number, reason = read_class(said(text, finish), CLASSES)
    assert (number in range(len(CLASSES)) and not reason) or (number is None and reason in OUTSIDE)
    read_units(text)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("Action units: 1, 2, 12\nAnswer: x", {1, 2, 12}),
        ("**Action Units:** AU1 + AU2, AU 25.", {1, 2, 25}),
        ("action unit: L12, R4", {12, 4}),
        ("Action units: inner brow raiser, 26", {1, 26}),
        ("Action units: none\nReasoning: 12 and 25 are not active", set()),
        ("Action units: 99, 112, 3", set()),
        ("Reasoning: 1, 2", None),
    ],
)
def test_action_units_are_read_by_number_and_name(text: str, units: set[int] | None) -> None:
    assert read_units(text) == units


def test_every_unit_is_read_by_its_name() -> None:
    for (number, name), wrap in itertools.product(ACTION_UNITS.items(), (str, str.upper)):
        assert read_units(f"Action units: {wrap(name)}") == {number}


def test_coded_units_are_those_that_the_prompt_lists() -> None:
    assert coded_units("1+L12+RB25+T26") == {1, 12, 25, 26}
    assert coded_units("14+24+4") == {4}, "a prompt does not offer 14 and 24"
    assert coded_units("none") == set() and coded_units("") is None
    assert display(CLASSES[0]) == names(CLASSES)[0]
