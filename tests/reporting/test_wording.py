"""The catalogues say the same things, and each language writes numbers its way."""

import re
from typing import Any

import pytest
from conftest import ROOT
from fluent.syntax import FluentParser, ast
from fluent.syntax.visitor import Visitor
from hypothesis import given
from hypothesis import strategies as st

from emotions import params_file
from emotions.evidence.messages import said
from emotions.reporting.wording import LANGUAGES, TEMPLATES, Wording
from emotions.taxonomy import COMPOUND, display

EN, FR = Wording("en"), Wording("fr")


class Values(Visitor):
    """The values that a message asks for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_VariableReference(self, node: ast.VariableReference) -> None:
        self.names.add(node.id.name)


def catalogue(language: str) -> dict[str, set[str]]:
    """Message -> the values it asks for."""
    found = {}
    for entry in FluentParser().parse((TEMPLATES / f"{language}.ftl").read_text()).body:
        assert not isinstance(entry, ast.Junk), entry.content
        if isinstance(entry, ast.Message):
            assert entry.id.name not in found, f"{entry.id.name} stands twice"
            values = Values()
            values.visit(entry)
            found[entry.id.name] = values.names
    return found


def test_the_languages_have_the_same_messages_with_the_same_values() -> None:
    english, french = (
        {k: v for k, v in catalogue(x).items() if not k.startswith("known-")} for x in ("en", "fr")
    )
    assert english.keys() == french.keys()
    differ = {k for k in english if english[k] != french[k]}
    assert differ == {"points"}, "French counts points, English does not"


def printing() -> str:
    """The code and the templates that print messages."""
    sources = [*(ROOT / "emotions").rglob("*.py"), *(ROOT / "vlm").rglob("*.py"), *TEMPLATES.glob("*.j2")]
    return "\n".join(p.read_text() for p in sources)


def test_every_message_that_is_printed_exists() -> None:
    names = re.findall(r"\bsay\(\s*[\"']([a-z][\w-]*)[\"']\s*[,)]", printing())
    assert len(names) > 100
    assert set(names) <= catalogue("en").keys()


def test_every_message_is_printed_by_something() -> None:
    code = printing()
    composed = (
        "reason-",
        "pairs-",
        "leakage-",
        "claim-",
        "verdict-",
        "outcome-",
        "area-",
        "evidence-",
        "change-",
        "rule-",
        "features-",
        "task-",
        "source-",
        "vlm-reason-",
    )
    for name in catalogue("en"):
        used = re.search(rf"[\"']{re.escape(name)}[\"']", code) or name.startswith(composed)
        assert used or name in COMPOUND, f"nothing prints {name!r}"


def test_titles_of_the_default_study_are_known_in_french() -> None:
    default = params_file.load(ROOT / "params.yaml")
    titles = [default["report"]["title"], *(run["title"] for run in default["runs"].values())]
    assert all(FR.known(t) != t for t in titles)
    assert [EN.known(t) for t in titles] == titles
    assert FR.known("My own run") == "My own run"


def test_english_names_of_classes_are_those_of_the_taxonomy() -> None:
    assert [EN(c) for c in COMPOUND] == [display(c) for c in COMPOUND]
    assert len({FR(c) for c in COMPOUND}) == len(COMPOUND)


@pytest.mark.parametrize(
    ("number", "digits", "english", "french"),
    [
        (0.447, 3, "0.447", "0,447"),
        (12345.678, 0, "12,346", "12\u202f346"),
        (-0.00000001, 1, "0.0", "0,0"),
        (-2.4, 1, "\u22122.4", "\u22122,4"),
    ],
)
def test_numbers_are_written_as_the_language_does(
    number: float, digits: int, english: str, french: str
) -> None:
    assert EN.decimal(number, digits) == english
    assert FR.decimal(number, digits) == french


@given(st.floats(-1, 1))
def test_both_languages_round_alike(fraction: float) -> None:
    assert EN.percent(fraction) == FR.percent(fraction).replace(",", ".")


def test_changes_carry_their_sign_and_french_counts_below_two_as_one() -> None:
    values: dict[str, Any] = {"low": -0.1, "high": 0.1}
    english = [EN("trend", **values, rise=x) for x in (0.036, -0.024, 0.01)]
    french = [FR("trend", **values, rise=x) for x in (0.036, -0.024, 0.01)]
    for text, change in zip(english, ("+3.6 points", "\u22122.4 points", "+1.0 points"), strict=True):
        assert f"changed by {change} (" in text
    for text, change in zip(french, ("+3,6 points", "\u22122,4 points", "+1,0 point"), strict=True):
        assert f"varié de {change} (" in text


def test_a_message_within_a_message_is_said_in_the_same_language() -> None:
    parts = [said("coverage-run", name=n, coverage=0.5) for n in ("run1", "run2")]
    assert EN(said("measured-fails", list=parts)) == "recall on test: run1 50.0%; run2 50.0%"
    assert FR(said("measured-fails", list=parts)) == (
        "rappel sur le test\u00a0: run1 50,0\u202f%\u202f; run2 50,0\u202f%"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_message_or_a_value_that_is_missing_is_an_error(language: str) -> None:
    say = Wording(language)
    with pytest.raises(LookupError):
        say("no-such-message")
    with pytest.raises(ValueError, match="run-title"):
        say("run-title", name="run1")


def test_french_typography_leaves_code_and_other_languages_alone() -> None:
    assert FR.typeset("vrai ? oui ; 5 % : « mot »") == (
        "vrai\u202f? oui\u202f; 5\u202f%\u00a0: «\u202fmot\u202f»"
    )
    assert FR.typeset("l'écart d'environ 'x'") == "l\u2019écart d\u2019environ 'x'"
    assert FR.typeset("runs: {a:b}") == "runs: {a:b}"
    assert EN.typeset("5 % ; a : b") == "5 % ; a : b"
