"""The two backends: a tiny Qwen2-VL here and behind a real server; a scripted server that misbehaves."""

import io
import itertools
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import A_WHILE, class_picture
from PIL import Image

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers reads it: no test asks the hub

pytest.importorskip("openai", reason="the extra is not installed: make test-extras")
pytest.importorskip("transformers", reason="the extra is not installed: make test-extras")

from tiny_vlm import DIE, HANG, completion, make, pictures, scripted

from emotions.taxonomy import compound_classes
from vlm.shared.backend import Decoding, Failure, ModelError, ModelParams, Price, Reply, ServerParams
from vlm.shared.conversation import Conversation, Picture, Prompt, picture
from vlm.shared.local import Local
from vlm.shared.reading import names, read_class
from vlm.shared.server import Server

CLASSES = compound_classes("rafdb11")
CHOICES = names(CLASSES)
PROMPT = Prompt("You look at faces.", "Which emotion?", "{{ emotion }}")
FREE = Decoding(answer="generate", constrained=False, max_tokens=12)
HELD = Decoding(answer="generate", constrained=True, max_tokens=12)
WEIGHED = Decoding(answer="log_probability", constrained=False, max_tokens=12)
CPU = torch.device("cpu")


def params(name: str | Path, **changes: Any) -> ModelParams:
    values = {"backend": "transformers", "revision": None, "precision": "float32", "batch_size": 4}
    return ModelParams(name=str(name), **(values | changes))


def shown(number: int, side: int = 56) -> Picture:
    return picture(class_picture(number % 11, number), f"{number}.png", side)


def conversations(many: int = 6) -> list[Conversation]:
    """Of different lengths and pictures."""
    examples = [(shown(20), "Sadly angry"), (shown(21), "Happily surprised")]
    return [PROMPT.conversation(shown(n), examples[: n % 3]) for n in range(many)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("hub") / "tiny-qwen2-vl")


def replies(backend: Any, asked: list[Conversation], decoding: Decoding) -> list[Reply]:
    found = dict(backend.answer(asked, CHOICES, decoding))
    assert all(isinstance(r, Reply) for r in found.values()), found
    return [found[i] for i in range(len(asked))]


@pytest.mark.parametrize("decoding", [FREE, HELD, WEIGHED])
def test_an_answer_does_not_depend_on_its_batch_and_repeats(model: Path, decoding: Decoding) -> None:
    asked = conversations()
    one_by_one = replies(Local(params(model, batch_size=1), CPU), asked, decoding)
    together = replies(Local(params(model, batch_size=6), CPU), asked, decoding)
    assert [(r.text, r.finish, r.prompt_tokens, r.completion_tokens) for r in one_by_one] == [
        (r.text, r.finish, r.prompt_tokens, r.completion_tokens) for r in together
    ]
    assert replies(Local(params(model, batch_size=6), CPU), asked, decoding) == together
    if decoding == FREE:
        assert len({r.text for r in together}) > 2, "the pictures make no difference"


def test_a_constrained_answer_is_one_of_the_choices(model: Path) -> None:
    for reply in replies(Local(params(model), CPU), conversations(), HELD):
        assert reply.text in CHOICES and reply.finish == "stop"
        assert read_class(reply, CLASSES)[0] == CHOICES.index(reply.text)


def test_log_probabilities_are_those_of_the_whole_answer(model: Path) -> None:
    """Against token after token, without padding or batch, each from a pass of its own."""
    backend = Local(params(model), CPU)
    conversation = conversations(3)[2]
    (reply,) = replies(backend, [conversation], WEIGHED)
    assert reply.scores is not None and len(reply.scores) == len(CHOICES)
    for choice, score in list(zip(CHOICES, reply.scores, strict=True))[:3]:
        inputs = dict(backend._inputs([conversation]))
        total = 0.0
        for token in backend._choice_tokens([choice])[0]:
            with torch.inference_mode():
                logits = backend._model(**inputs).logits[0, -1].double()
            total += float(torch.log_softmax(logits, 0)[token])
            inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([[token]])], 1)
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            kinds = inputs["mm_token_type_ids"]
            inputs["mm_token_type_ids"] = torch.cat([kinds, torch.zeros_like(kinds[:, :1])], 1)
        assert score == pytest.approx(total, abs=1e-3)
    assert reply.text == CHOICES[max(range(len(CHOICES)), key=reply.scores.__getitem__)]


@pytest.mark.parametrize("decoding", [FREE, HELD, WEIGHED])
def test_an_overflow_is_an_error_and_not_a_class(model: Path, decoding: Decoding) -> None:
    backend = Local(params(model), CPU)
    with torch.no_grad():
        backend._model.lm_head.weight[:] = float("nan")
    with pytest.raises(ModelError, match=r"model\.precision: .* not a number"):
        list(backend.answer(conversations(1), CHOICES, decoding))


def test_a_folder_is_known_by_what_is_in_it(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / model.name
    shutil.copytree(model, copy)
    assert Local(params(copy), CPU).identity == Local(params(model), CPU).identity
    (copy / "notes.md").write_text("of no account")
    assert Local(params(copy), CPU).identity == Local(params(model), CPU).identity
    (copy / "chat_template.jinja").write_text("another")
    assert Local(params(copy), CPU).identity["revision"] != Local(params(model), CPU).identity["revision"]


def test_models_that_cannot_be_loaded_say_why_and_what_to_do(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not a folder here.*pin its commit"):
        Local(params("Qwen/Qwen2-VL-2B-Instruct"), CPU)
    with pytest.raises(ModelError, match="set it to null"):
        Local(params(model, revision="0" * 40), CPU)
    absent = Local(params("Qwen/not-here", revision="0" * 40), CPU)
    with pytest.raises(
        ModelError, match=r"Qwen/not-here cannot be loaded.*hf download Qwen/not-here --revision 000"
    ):
        list(absent.answer(conversations(1), CHOICES, FREE))
    assert list(absent.answer([], CHOICES, FREE)) == [], "nothing to ask needs no model"
    no_model = tmp_path / "none"
    shutil.copytree(model, no_model)
    (no_model / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded"):
        list(Local(params(no_model), CPU).answer(conversations(1), CHOICES, FREE))


def test_weights_that_could_run_code_are_not_read(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(model, folder)
    (folder / "model.safetensors").unlink()

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "ran"), "w"))

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match="other formats can run code"):
        Local(params(folder), CPU)
    assert not (tmp_path / "ran").exists()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_params(url: str, **changes: Any) -> ServerParams:
    values: dict[str, Any] = {"concurrency": 4, "timeout": A_WHILE, "attempts": 3, "constraint": "none"}
    return ServerParams(url=url, price=Price(prompt=1.0, completion=2.0), **(values | changes))


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[str]:
    """The tiny model behind `transformers serve`."""
    port = free_port()
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(model), "--device", "cpu",
               "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        until = time.monotonic() + A_WHILE
        while process.poll() is None and time.monotonic() < until:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        else:
            raise AssertionError("".join(lines)[-3000:])
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(A_WHILE)


@pytest.mark.parametrize("at_once", [1, 8])
def test_a_real_server_gives_the_answers_that_the_library_gives(
    model: Path, served: str, at_once: int
) -> None:
    asked = conversations(12)
    local = replies(Local(params(model, batch_size=1), CPU), asked, FREE)
    server = Server(params(model, backend="server"), server_params(served, concurrency=at_once))
    remote = replies(server, asked, FREE)
    assert [r.text for r in remote] == [r.text for r in local]
    assert [(r.finish, r.prompt_tokens, r.completion_tokens) for r in remote] == [
        (r.finish, r.prompt_tokens, r.completion_tokens) for r in local
    ]


def test_a_server_that_lacks_the_model_says_what_it_has(model: Path, served: str) -> None:
    with pytest.raises(ModelError, match=f"has no other; name one of .*{model.name}"):
        list(
            Server(params("other", backend="server"), server_params(served)).answer(
                conversations(1), CHOICES, FREE
            )
        )


def ask(url: str, many: int = 1, decoding: Decoding = FREE, **changes: Any) -> dict[int, Reply | Failure]:
    backend = Server(params("scripted", backend="server"), server_params(url, **changes))
    return dict(backend.answer(conversations(many), CHOICES, decoding))


GOOD = (200, {}, completion("Happily surprised"))
SOON = {"Retry-After": "0.01"}
FAULTS = {
    "500": (500, SOON, b'{"error": {"message": "broken"}}'),
    "429": (429, SOON, b'{"error": {"message": "slow down"}}'),
    "cut-off body": (200, {"Content-Length": "9999", "Connection": "close"}, completion("Happily surprised")),
    "cut-off JSON": (200, {}, completion("Happily surprised")[:80]),
    "a web page": (200, {"Content-Type": "text/html"}, b"<html>a proxy</html>"),
    "no choices": (200, {}, b'{"id": "1", "choices": []}'),
    "other JSON": (200, {}, b'["what"]'),
    "not text": (200, {}, b"\xff\xfe\x00"),
    "hang": HANG,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_on_the_wire_is_tried_again_and_then_reported(fault: str) -> None:
    fail_first = iter([FAULTS[fault], GOOD])
    with scripted(lambda _: next(fail_first)) as (url, requests):
        found = ask(url, timeout=5.0 if fault == "hang" else A_WHILE)
    assert found == {0: Reply("Happily surprised", "stop", 100, 5)} and len(requests) == 2
    with scripted(lambda _: FAULTS[fault]) as (url, requests):
        (failure,) = ask(url, timeout=0.5 if fault == "hang" else A_WHILE, attempts=2).values()
    assert isinstance(failure, Failure) and failure.reason and len(requests) == 2, "bounded"


def test_what_will_not_change_is_not_tried_again() -> None:
    with scripted(lambda _: (400, {}, b'{"error": {"message": "no images here"}}')) as (url, requests):
        (failure,) = ask(url).values()
    assert isinstance(failure, Failure) and "no images here" in failure.reason and len(requests) == 1


def test_one_bad_image_does_not_hold_up_the_others() -> None:
    bad = shown(2).png()
    with scripted(lambda r: (400, {}, b'{"error": {"message": "bad"}}') if bad in pictures(r) else GOOD) as (
        url,
        _,
    ):
        found = ask(url, many=6)
    assert [i for i, r in sorted(found.items()) if isinstance(r, Failure)] == [2]


def test_a_refusal_is_an_answer_outside_the_classes() -> None:
    with scripted(lambda _: (200, {}, completion(None, refusal="I will not judge a face."))) as (url, _):
        (reply,) = ask(url).values()
    assert isinstance(reply, Reply) and read_class(reply, CLASSES) == (None, "refused")
    with scripted(lambda _: (200, {}, completion(None, finish="content_filter"))) as (url, _):
        (reply,) = ask(url).values()
    assert isinstance(reply, Reply) and read_class(reply, CLASSES) == (None, "refused")


def test_a_server_that_dies_ends_the_run_and_what_it_said_is_kept() -> None:
    given: dict[int, Reply | Failure] = {}
    so_far = itertools.count()
    with scripted(lambda _: GOOD if next(so_far) < 3 else DIE) as (url, _):
        backend = Server(params("scripted", backend="server"), server_params(url, concurrency=2, attempts=2))
        with pytest.raises(ModelError, match="no server answers at"):
            for number, reply in backend.answer(conversations(12), CHOICES, FREE):
                given[number] = reply
    assert len(given) == 3 and all(isinstance(r, Reply) for r in given.values())


def test_no_server_and_no_key_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(ModelError, match=re.escape(f"no server answers at {url}")):
        ask(url, attempts=1)
    with scripted(lambda _: GOOD) as (url, _):
        monkeypatch.setattr(Server, "_served", lambda _: None)  # a server that does not list its models
        assert len(ask(url)) == 1


def test_the_constraint_is_sent_as_the_server_has_it() -> None:
    with scripted(lambda _: '{"emotion": "Sadly angry"}') as (url, requests):
        (reply,) = ask(url, decoding=HELD, constraint="json_schema").values()
        ask(url, decoding=HELD, constraint="choice")
        ask(url, decoding=HELD, constraint="none")
        ask(url, decoding=FREE, constraint="json_schema")
    schema = requests[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["emotion"]["enum"] == CHOICES
    assert requests[1]["structured_outputs"] == {"choice": CHOICES}
    assert not {"response_format", "structured_outputs"} & {*requests[2], *requests[3]}
    assert isinstance(reply, Reply) and read_class(reply, CLASSES)[0] == CHOICES.index("Sadly angry")
    assert all(r["temperature"] == 0 and r["max_tokens"] == 12 for r in requests)
    with (
        scripted(lambda _: GOOD) as (url, _),
        pytest.raises(ModelError, match=r"model\.backend: transformers"),
    ):
        ask(url, decoding=WEIGHED)


def test_a_server_is_shown_the_pictures_bit_by_bit() -> None:
    with scripted(lambda _: "Sadly angry") as (url, requests):
        ask(url, many=3, concurrency=1)
    sent = [Image.open(io.BytesIO(png)) for png in pictures(requests[2])]
    assert [s.tobytes() for s in sent] == [shown(n).image.tobytes() for n in (20, 21, 2)]
    assert [m["role"] for m in requests[2]["messages"]] == [
        "system", "user", "assistant", "user", "assistant", "user"
    ]  # fmt: skip
