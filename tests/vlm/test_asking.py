"""Prompts, kept answers and the loop that asks: nothing is asked twice, nothing that was answered is lost."""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, class_picture
from PIL import Image

from emotions.data.images import ImageError
from emotions.taxonomy import ACTION_UNITS, compound_classes
from vlm.shared.answers import Answers, AnswersError
from vlm.shared.asking import MOST_FAILURES, ask
from vlm.shared.backend import Decoding, Failure, ModelError, Reply
from vlm.shared.conversation import Conversation, Picture, Prompt, PromptError, key, picture, read_prompt
from vlm.shared.reading import names

CLASSES = compound_classes("rafdb11")
VALUES = {"classes": names(CLASSES), "units": ACTION_UNITS}
GREEDY = Decoding(answer="generate", constrained=False, max_tokens=8)


def shown(number: int) -> Picture:
    return picture(class_picture(number, 0), f"{number}.png", 56)


def asked(number: int) -> Conversation:
    return Prompt("Look.", "Which?", "").conversation(shown(number))


class Scripted:
    """A backend that answers with the number of the question, or as `script` says."""

    versions = "a script"

    def __init__(
        self, script: dict[int, Reply | Failure | BaseException] | None = None, name: str = "m"
    ) -> None:
        self.identity = {"model": name}
        self.script = script or {}
        self.asked: list[str] = []

    def answer(
        self, conversations: Sequence[Conversation], choices: Sequence[str], decoding: Decoding
    ) -> Iterator[tuple[int, Reply | Failure]]:
        for i, conversation in enumerate(conversations):
            self.asked.append(key(conversation))
            said = self.script.get(i, Reply(f"answer {i}", "stop", 10, 2))
            if isinstance(said, BaseException):
                raise said
            yield i, said


def run(backend: Scripted, folder: Path, many: int = 5, choices: Sequence[str] = ("a",)) -> dict[str, str]:
    found = ask(
        backend,
        {f"{n}.png": asked(n) for n in range(many)},
        choices,
        decoding=GREEDY,
        folder=folder,
        title="",
    )
    return {image: reply.text for image, reply in found.replies.items()}


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    first = Scripted()
    assert run(first, tmp_path) == {f"{n}.png": f"answer {n}" for n in range(5)}
    again = Scripted()
    assert run(again, tmp_path) == {f"{n}.png": f"answer {n}" for n in range(5)}
    assert len(first.asked) == 5 and again.asked == []
    more = Scripted()
    run(more, tmp_path, many=7)
    assert len(more.asked) == 2


def test_another_model_choice_decoding_prompt_or_picture_is_asked_anew(tmp_path: Path) -> None:
    run(Scripted(), tmp_path)
    for backend, choices in ((Scripted(name="other"), ("a",)), (Scripted(), ("a", "b"))):
        run(backend, tmp_path, choices=choices)
        assert len(backend.asked) == 5
    backend = Scripted()
    longer = GREEDY.model_copy(update={"max_tokens": 9})
    ask(backend, {"0.png": asked(0)}, ("a",), decoding=longer, folder=tmp_path, title="")
    ask(
        backend,
        {"0.png": Prompt("Look!", "Which?", "").conversation(shown(0))},
        ("a",),
        decoding=GREEDY,
        folder=tmp_path,
        title="",
    )
    assert len(backend.asked) == 2
    one = np.asarray(shown(0).image).copy()
    one[0, 0, 0] ^= 1
    file = io.BytesIO()
    Image.fromarray(one).save(file, "PNG")
    other = picture(file.getvalue(), "x", 56)
    ask(
        backend,
        {"0.png": Prompt("Look.", "Which?", "").conversation(other)},
        ("a",),
        decoding=GREEDY,
        folder=tmp_path,
        title="",
    )
    assert len(backend.asked) == 3, "one bit of one pixel is another picture"


def test_the_same_picture_twice_is_asked_once(tmp_path: Path) -> None:
    backend = Scripted()
    found = ask(
        backend, {"a.png": asked(0), "b.png": asked(0)}, ("a",), decoding=GREEDY, folder=tmp_path, title=""
    )
    assert len(backend.asked) == 1 and found.replies["a.png"] == found.replies["b.png"]


@pytest.mark.parametrize("end", [ModelError("gone"), KeyboardInterrupt(), RuntimeError("a bug")])
def test_a_run_that_ends_early_keeps_its_answers(tmp_path: Path, end: BaseException) -> None:
    with pytest.raises(type(end)) as caught:
        run(Scripted({3: end}), tmp_path)
    if isinstance(end, ModelError):
        assert "gone; 3 of 5 answers are kept; run the same command" in str(caught.value)
    rest = Scripted()
    assert len(run(rest, tmp_path)) == 5 and len(rest.asked) == 2


def test_a_line_that_a_killed_run_left_half_written_is_cut_off(tmp_path: Path) -> None:
    run(Scripted(), tmp_path)
    (file,) = tmp_path.glob("*.jsonl")
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in (len(lines[-1]) - 1, 1, len(lines[-1]) // 2):
        file.write_bytes(whole[: len(whole) - cut])
        rest = Scripted({0: Reply("answer 4", "stop", 10, 2)})
        assert run(rest, tmp_path)["4.png"] == "answer 4" and len(rest.asked) == 1
        assert [json.loads(line)["text"] for line in file.read_bytes().splitlines()[1:]] == [
            f"answer {n}" for n in range(5)
        ]


def test_a_first_line_that_was_cut_off_is_written_again(tmp_path: Path) -> None:
    run(Scripted(), tmp_path)
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:20])
    assert len(run(Scripted(), tmp_path)) == 5
    assert len(file.read_bytes().splitlines()) == 6


@pytest.mark.parametrize(
    "damage", [b"nonsense\n", b'{"key": "x"}\n', b"[]\n", b'{"key": 1, "seconds": "?"}\n']
)
def test_a_damaged_line_is_named_with_its_remedy(tmp_path: Path, damage: bytes) -> None:
    run(Scripted(), tmp_path)
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes() + damage)
    with pytest.raises(AnswersError, match=r"line 7: not an answer .* delete the line"):
        run(Scripted(), tmp_path)
    assert file.read_bytes().endswith(damage), "nothing is thrown away unasked"


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    run(Scripted(), tmp_path)
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes().replace(b'"model": "m"', b'"model": "n"'))
    with pytest.raises(AnswersError, match="another model"):
        run(Scripted(), tmp_path)


def test_two_processes_do_not_ask_the_same_model_at_once(tmp_path: Path) -> None:
    with Answers(tmp_path, {"model": "m"}):
        with pytest.raises(AnswersError, match="another process"), Answers(tmp_path, {"model": "m"}):
            pass
        with Answers(tmp_path, {"model": "n"}):
            pass
    with Answers(tmp_path, {"model": "m"}):
        pass


def test_failures_are_reported_by_image_and_the_others_are_kept(tmp_path: Path) -> None:
    found = ask(
        Scripted({1: Failure("time-out")}),
        {f"{n}.png": asked(n) for n in range(3)},
        ("a",),
        decoding=GREEDY,
        folder=tmp_path,
        title="",
    )
    assert found.failures == {"1.png": Failure("time-out")} and set(found.replies) == {"0.png", "2.png"}
    rest = Scripted()
    run(rest, tmp_path, many=3)
    assert rest.asked == [key(asked(1))]


def test_a_model_that_answers_nothing_is_not_asked_about_everything(tmp_path: Path) -> None:
    backend = Scripted({n: Failure("error 500") for n in range(100)})
    with pytest.raises(ModelError, match=r"20 questions in a row had no answer \(error 500\)"):
        ask(
            backend,
            {f"{n}.png": asked(n) for n in range(30)},
            ("a",),
            decoding=GREEDY,
            folder=tmp_path,
            title="",
        )
    assert len(backend.asked) == MOST_FAILURES
    some = {n: Failure("error 500") for n in range(100) if n % MOST_FAILURES}
    ask(
        Scripted(some),
        {f"{n}.png": asked(n) for n in range(30)},
        ("a",),
        decoding=GREEDY,
        folder=tmp_path,
        title="",
    )


@pytest.mark.parametrize("name", ["direct", "chain_of_thought"])
def test_the_prompts_name_every_class_and_what_is_asked_for(name: str) -> None:
    prompt = read_prompt(ROOT / f"vlm/prompts/{name}.md", VALUES)
    for label in names(CLASSES):
        assert f"- {label}\n" in prompt.instruction
    assert "{" not in prompt.instruction + prompt.question
    if name == "chain_of_thought":
        assert all(f"- {n}: {unit}\n" in prompt.instruction for n, unit in ACTION_UNITS.items())
        lines = [line.split(":")[0] for line in prompt.instruction.splitlines()[-3:]]
        assert lines == ["Action units", "Reasoning", "Answer"], "which vlm.shared.reading looks for"
    else:
        assert prompt.example_answer(emotion="Sadly angry", units="") == "Sadly angry"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one part", "it has 1 parts"),
        ("a\n---\nb\n---\nc\n---\nd", "it has 4 parts"),
        ("\n---\nb", "separated by lines"),
        ("{{ nothing }}\n---\nb", "'nothing' is undefined"),
        ("{% for %}\n---\nb", "there are classes, units"),
    ],
)
def test_a_prompt_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.md"
    path.write_text(text)
    with pytest.raises(PromptError, match=r"p\.md") as caught:
        read_prompt(path, VALUES)
    assert message in str(caught.value)


def test_examples_stand_before_the_question_with_their_answers() -> None:
    prompt = Prompt("Look.", "Which?", "{{ emotion }}")
    turns = prompt.conversation(shown(0), [(shown(1), "Sadly angry"), (shown(2), "Happily surprised")])
    assert [t.role for t in turns] == ["system", *(["user", "assistant"] * 2), "user"]
    assert turns[-1].parts[0] == shown(0) and turns[2].parts == ("Sadly angry",)


def test_a_picture_is_square_rgb_and_a_damaged_one_an_error() -> None:
    file = io.BytesIO()
    Image.new("L", (90, 60), 7).save(file, "JPEG")
    made = picture(file.getvalue(), "grey.jpg", 56)
    assert made.image.size == (56, 56) and made.image.mode == "RGB"
    assert picture(made.png(), "again.png", 56).sha256 == made.sha256, "sent without loss"
    with pytest.raises(ImageError, match=r"half\.jpg"):
        picture(file.getvalue()[:200], "half.jpg", 56)
