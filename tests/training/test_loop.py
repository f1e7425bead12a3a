"""Training: byte-identical when repeated, each random stream on its own, and faults told where they are.

The loop is the same for every ResNet with torchvision's part names, so most tests use a shallow one.
"""

import copy
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import rounding
from toy_training import (
    CLASSES,
    CPU,
    FULL,
    PARTS,
    TRAIN,
    VAL,
    alone,
    fit,
    params,
    regime,
    shallow,
    split,
    weights_of,
)

from emotions import inference
from emotions.data.dataset import Split
from emotions.inference import InferenceError
from emotions.model import resnet
from emotions.model.preprocessing import normalise, to_float
from emotions.random_streams import stream_seed
from emotions.training import loop
from emotions.training.knobs import RunParams
from emotions.training.loop import Epoch, TrainingError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Many small tests beside other work: one thread each is faster than two that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_twice_gives_the_same_bytes_whatever_the_global_generator_holds(
    tmp_path: Path, precision: str
) -> None:
    found = []
    for i in range(2):
        torch.manual_seed(1000 + i)
        fitted = fit(shallow(dropout=0.5), regime(**FULL), epochs=2, precision=precision)
        found.append((loop.history_csv(fitted.history), weights_of(fitted, tmp_path / f"{i}.pth")))
    assert found[0] == found[1]


def test_another_seed_trains_other_weights(tmp_path: Path) -> None:
    first, second = (weights_of(fit(shallow(), regime(), seed=s), tmp_path / "a.pth") for s in (0, 1))
    assert first != second


def batches_seen(monkeypatch: pytest.MonkeyPatch, run: RunParams, seed: int = 0) -> list[list[int]]:
    """Which training images each batch of two epochs held, in order."""
    seen: list[list[int]] = []
    real = loop.augment

    def watched(images: torch.Tensor, draws: torch.Tensor, kind: Any) -> torch.Tensor:
        known = TRAIN.images.float() / 255
        seen.append([int((known - image).abs().sum((1, 2, 3)).argmin()) for image in images])
        return real(images, draws, kind)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "augment", watched)
        fit(shallow(run.dropout), run, epochs=2, seed=seed)
    return seen


def test_the_order_of_images_does_not_change_with_the_regime(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = batches_seen(monkeypatch, regime())
    assert batches_seen(monkeypatch, regime(**FULL)) == plain
    assert batches_seen(monkeypatch, regime(trainable_parts=["head"])) == plain
    assert batches_seen(monkeypatch, regime(), seed=1) != plain


def test_an_epoch_shows_each_image_at_most_once_in_full_batches_and_every_epoch_has_its_own_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = batches_seen(monkeypatch, regime())
    assert [len(b) for b in seen] == [4] * 4  # 11 images: two batches an epoch, three images left out
    epochs = [seen[0] + seen[1], seen[2] + seen[3]]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_each_augmented_image_gets_the_draws_of_its_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    known, table = TRAIN.images.float() / 255, loop.epoch_draws(0, 1, len(TRAIN))

    def watched(images: torch.Tensor, draws: torch.Tensor, kind: Any) -> torch.Tensor:
        which = [int((known - image).abs().sum((1, 2, 3)).argmin()) for image in images]
        assert torch.equal(draws, table[which])
        return images

    monkeypatch.setattr(loop, "augment", watched)
    fit(shallow(), regime(augmentation="standard"))


@pytest.mark.parametrize("knob", FULL)
def test_every_knob_of_a_regime_changes_what_is_learned(knob: str) -> None:
    plain = fit(shallow(), regime(), seed=0).last_state
    run = regime(**{knob: FULL[knob]})
    changed = fit(shallow(run.dropout), run, seed=0).last_state
    assert not torch.equal(plain["fc.weight"], changed["fc.weight"])


def test_the_rates_rise_through_the_warm_up_and_fall_to_nothing_along_a_cosine() -> None:
    run = regime(schedule="cosine", warmup_epochs=1.0)
    factors = [run.lr_factor(step, 4, 5) for step in range(20)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[12] == pytest.approx(0.5), "half of the way from the warm-up's end"
    assert factors[-1] == pytest.approx((1 + np.cos(np.pi * 15 / 16)) / 2)
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert {regime().lr_factor(step, 4, 5) for step in range(20)} == {1.0}
    assert regime(warmup_epochs=0.5).lr_factor(19, 4, 5) == 1.0


def test_each_group_is_stepped_at_its_rate_times_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []
    real = torch.optim.Adam.step

    def watched(self: torch.optim.Adam, *args: Any, **kwargs: Any) -> Any:
        seen.append([group["lr"] for group in self.param_groups])
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    run = regime(schedule="cosine", lr={"body": 1e-3, "head": 1e-2, "decay": 0.5})
    fit(shallow(), run, epochs=2)
    for step, rates in enumerate(seen):
        lr_factor = run.lr_factor(step, 2, 2)
        assert rates == pytest.approx([lr_factor * 1e-3 * 0.5**k for k in range(5)] + [lr_factor * 1e-2])
    assert len(seen) == 4


def test_the_history_has_the_highest_rate_of_an_epoch_s_last_step() -> None:
    run = regime(schedule="cosine", warmup_epochs=0.5, lr={"body": 1e-3, "head": 1e-2})
    history = fit(shallow(), run, epochs=3).history
    assert [e.learning_rate for e in history] == [1e-2 * run.lr_factor(step, 2, 3) for step in (1, 3, 5)]
    head_alone = fit(shallow(), regime(trainable_parts=["head"], head=1e-2), epochs=1).history
    assert head_alone[0].learning_rate == 1e-2


@pytest.mark.parametrize("parts", [["head"], list(resnet.PARTS)])
def test_the_gradient_norm_is_that_of_all_trainable_gradients_averaged_over_the_steps(
    monkeypatch: pytest.MonkeyPatch, parts: list[Any]
) -> None:
    norms: list[float] = []
    real = torch.optim.Adam.step

    def watched(self: torch.optim.Adam, *args: Any, **kwargs: Any) -> Any:
        gradients = [p.grad.flatten() for g in self.param_groups for p in g["params"] if p.grad is not None]
        norms.append(torch.cat(gradients).double().norm().item())
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    history = fit(shallow(), regime(trainable_parts=parts), epochs=2).history
    assert [e.gradient_norm for e in history] == pytest.approx(
        [sum(norms[:2]) / 2, sum(norms[2:]) / 2], rel=1e-5
    )
    assert history[0].gradient_norm > 0


def test_the_loss_is_that_of_adjusted_logits_against_softened_targets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches: list[tuple[torch.Tensor, torch.Tensor]] = []
    losses: list[float] = []
    real = loop._Training.step

    def watched(self: Any, images: torch.Tensor, given: torch.Tensor) -> None:
        with torch.no_grad():
            resnet.train_mode(self.model)
            logits = copy.deepcopy(self.model)(images)
        batches.append((logits, given))
        real(self, images, given)
        self.read_loss()
        losses.append(self.last_loss)

    monkeypatch.setattr(loop._Training, "step", watched)
    train = split(11)
    fit(shallow(), regime(logit_adjustment=2.0, label_smoothing=0.3, soft_labels=0.5), train=train)
    votes = torch.tensor([0.25, 0.25, 0.5])  # sadness with fear, anger and surprise, by VOTES
    prior = 0.7 * (0.5 * torch.bincount(train.labels) / len(train) + 0.5 * votes) + 0.3 / 3
    for (logits, given), loss in zip(batches, losses, strict=True):
        assert given.max() < 0.9, "votes have softened them"
        smooth = 0.7 * given + 0.3 / 3
        expected = -(smooth * torch.log_softmax(logits + 2 * prior.log(), 1)).sum(1).mean()
        assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_with_adjusted_logits_a_rare_class_is_named_where_it_would_not_be() -> None:
    """Images that do not tell their class: plain training answers by frequency, adjusted training evenly."""
    labels = torch.tensor([0] * 12 + [1] * 2 + [2] * 2)
    grey = torch.full((16, 3, 32, 32), 120, dtype=torch.uint8)
    rows = [split(3).rows[c] for c in labels]
    alike = Split(rows, CLASSES, grey, labels, "")
    shares = {}
    for tau in (0.0, 1.0):
        run = regime(head=0.01, trainable_parts=["head"], logit_adjustment=tau)
        model = shallow()
        model.load_state_dict(fit(model, run, epochs=60, train=alike, batch_size=16).last_state)
        model.eval()
        logits = inference.predict_logits(
            model, alike, torch.arange(1), batch_size=1, device=CPU, dtype=torch.float32
        )
        shares[tau] = torch.softmax(logits, 1)[0].tolist()
    assert shares[0.0] == pytest.approx([0.75, 0.125, 0.125], abs=0.03)
    assert shares[1.0] == pytest.approx([1 / 3] * 3, abs=0.05)


def test_what_is_scored_and_kept_is_the_moving_average_of_the_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed: list[torch.Tensor] = []
    real = loop._Training.step

    def watched(self: Any, *batch: torch.Tensor) -> None:
        real(self, *batch)
        passed.append(self.model.fc.weight.detach().clone())

    monkeypatch.setattr(loop._Training, "step", watched)
    fitted = fit(shallow(), regime(ema_decay=0.8), epochs=2)
    average = passed[0]
    for weight in passed[1:]:
        average = 0.8 * average + 0.2 * weight
    ten_ulp = 10 * 2**-23 * average.abs().max().item()
    assert torch.allclose(fitted.last_state["fc.weight"], average, atol=ten_ulp)
    assert not torch.allclose(passed[-1], average, atol=10 * ten_ulp)
    model = shallow()
    model.load_state_dict(fitted.last_state)
    logits = inference.predict_logits(
        model, VAL, torch.arange(6), batch_size=4, device=CPU, dtype=torch.float32
    )
    assert fitted.history[-1].val_loss == pytest.approx(F.cross_entropy(logits, VAL.labels).item(), rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_where_mixup_trains_batch_norm_clean_images_are_scored_with_their_own_statistics(
    alpha: float,
) -> None:
    fitted = fit(shallow(), regime(mixup_alpha=alpha), epochs=2)
    model = shallow()
    model.load_state_dict(fitted.last_state)
    resnet.freeze(model, PARTS)
    rows = torch.randperm(len(TRAIN), generator=torch.Generator().manual_seed(stream_seed(0, "curve")))
    images = TRAIN.images[rows[: len(VAL)].sort().values]
    resnet.recompute_statistics(model, [normalise(to_float(images))])
    again = resnet.snapshot(model)
    own = "layer4.0.bn2.running_mean"
    assert torch.allclose(again[own], fitted.last_state[own], rtol=1e-3, atol=1e-4) == (alpha > 0)


def test_a_warm_up_that_never_ends_is_refused() -> None:
    with pytest.raises(TrainingError, match="warmup_epochs is 2 of 2 epochs; lower it"):
        fit(shallow(), regime(warmup_epochs=2.0), epochs=2)


def test_only_the_trainable_parts_are_trained() -> None:
    model = shallow()
    before = resnet.snapshot(model)
    after = fit(model, regime(trainable_parts=["head"], mixup_alpha=0.4)).last_state
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed == {"fc.weight", "fc.bias"}


def test_an_easy_task_is_learned() -> None:
    fitted = fit(shallow(), regime(), epochs=5, train=split(32))
    assert fitted.selected.val_accuracy == 1.0
    assert fitted.selected.val_macro_f1 == pytest.approx(1.0)
    assert fitted.history[-1].train_loss < 0.5 * fitted.history[0].train_loss


def test_the_resnet50_of_the_study_trains_in_bfloat16() -> None:
    model = resnet.build(3, 0.5, seed=0)
    fitted = fit(model, regime(body=1e-4, **FULL), precision="bfloat16")
    assert all(v.dtype != torch.bfloat16 for v in fitted.last_state.values())
    assert 0 < fitted.history[0].train_loss < 10


def scripted(monkeypatch: pytest.MonkeyPatch, right: list[int]) -> None:
    """Let validation get so many of its six images right, epoch by epoch."""
    answers = []
    for count in right:
        said = torch.where(torch.arange(6) < count, VAL.labels, (VAL.labels + 1) % 3)
        answers += [F.one_hot(TRAIN.labels[:6], 3).float(), F.one_hot(said, 3).float()]
    monkeypatch.setattr(loop, "predict_logits", lambda *_, **__: answers.pop(0))


def test_the_earliest_of_the_best_epochs_on_validation_is_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [2, 4, 4, 1])
    model, states, told = shallow(), [], []

    def on_epoch(epoch: Epoch) -> None:
        told.append(epoch)
        states.append(resnet.snapshot(model))

    fitted = loop.fit(
        model,
        TRAIN,
        VAL,
        params=params(),
        run=regime(),
        seed=0,
        accelerator=alone(),
        epochs=4,
        on_epoch=on_epoch,
    )
    assert [e.val_accuracy for e in fitted.history] == pytest.approx([2 / 6, 4 / 6, 4 / 6, 1 / 6])
    assert fitted.selected is fitted.history[1]
    assert told == fitted.history
    for state, expected, other in ((fitted.selected_state, 1, 2), (fitted.last_state, 3, 2)):
        assert all(torch.equal(state[k], states[expected][k]) for k in state)
        assert not torch.equal(state["fc.weight"], states[other]["fc.weight"])


def test_the_history_agrees_with_the_weights_it_was_written_for() -> None:
    model = shallow()
    fitted = fit(model, regime(), epochs=2)
    model.load_state_dict(fitted.last_state)
    logits = inference.predict_logits(
        model, VAL, torch.arange(6), batch_size=4, device=CPU, dtype=torch.float32
    )
    last = fitted.history[-1]
    assert last.val_accuracy == (logits.argmax(1) == VAL.labels).double().mean().item()
    assert last.val_loss == pytest.approx(F.cross_entropy(logits, VAL.labels).item(), rel=1e-5)
    assert [e.epoch for e in fitted.history] == [1, 2]


def test_a_loss_that_is_not_finite_stops_training_and_says_where() -> None:
    with pytest.raises(
        TrainingError, match=r"the loss is (nan|inf) at epoch 1, step 2; lower the learning rates"
    ):
        fit(shallow(), regime(body=1e30, head=1e30), optimizer="sgd")


def test_a_batch_larger_than_the_split_is_refused_before_training() -> None:
    with pytest.raises(TrainingError, match=r"train\.batch_size is 12, the train split has 11 images"):
        fit(shallow(), regime(), batch_size=12)


@pytest.mark.parametrize("ask", [torch.empty, np.empty])
def test_out_of_memory_names_the_knobs(ask: Any) -> None:
    with (
        pytest.raises(InferenceError, match=r"out of memory: lower train\.batch_size \("),
        inference.enough_memory("train.batch_size"),
    ):
        ask(10**15)


@pytest.mark.parametrize("changes", [{}, {"mixup_alpha": 0.4, "dropout": 0.5, "augmentation": "strong"}])
def test_batches_that_a_thread_prepares_ahead_are_those_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """As for a GPU."""
    run, found, threads = regime(**changes), [], set()
    real = loop.augment

    def watched(*arguments: Any) -> torch.Tensor:
        threads.add(threading.current_thread())
        return real(*arguments)

    monkeypatch.setattr(loop, "augment", watched)
    for ahead in (False, True):
        monkeypatch.setattr(loop, "_prepares_ahead", lambda _, ahead=ahead: ahead)
        fitted = fit(shallow(run.dropout), run, epochs=2)
        found.append((weights_of(fitted, tmp_path / "a.pth"), fitted.history))
    assert found[0] == found[1]
    assert len(threads) == 3, "this one, and one for each epoch"
    assert not any(t.is_alive() for t in threads - {threading.current_thread()})


@pytest.mark.parametrize("ahead", [False, True])
def test_out_of_memory_while_training_names_the_knobs(monkeypatch: pytest.MonkeyPatch, ahead: bool) -> None:
    monkeypatch.setattr(loop, "_prepares_ahead", lambda _: ahead)
    monkeypatch.setattr(loop, "augment", lambda *_: torch.empty(10**15))
    with pytest.raises(InferenceError, match=r"lower train\.batch_size or train\.image_size"):
        fit(shallow(), regime())


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    with (
        pytest.raises(RuntimeError, match="must match the size"),
        inference.enough_memory("train.batch_size"),
    ):
        torch.ones(2) + torch.ones(3)


def test_a_class_without_training_images_is_refused_and_one_without_validation_images_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def without(split: Split, index: int) -> Split:
        rows = (split.labels != index).nonzero()[:, 0]
        return replace(
            split, rows=[split.rows[i] for i in rows], images=split.images[rows], labels=split.labels[rows]
        )

    with pytest.raises(TrainingError, match=f"no training image of {CLASSES[1]}: nothing could learn it"):
        fit(shallow(), regime(), train=without(TRAIN, 1))
    with caplog.at_level("WARNING", "emotions"):
        values = params()
        val = without(VAL, 2)
        loop.fit(
            shallow(),
            TRAIN,
            val,
            params=values,
            run=regime(),
            seed=0,
            accelerator=alone(),
            epochs=1,
            on_epoch=lambda epoch: None,
        )
    assert f"no validation image of {CLASSES[2]}: macro-F1 counts it as 0" in caplog.text


def test_the_largest_possible_batch_is_one_step() -> None:
    assert len(fit(shallow(), regime(), batch_size=11).history) == 1


def test_float16_without_a_gpu_is_refused() -> None:
    with pytest.raises(InferenceError, match=r"train\.precision: float16 needs a GPU"):
        fit(shallow(), regime(), precision="float16")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "emotions")
    return caplog


@pytest.mark.parametrize(
    ("has", "dtype"),
    [
        ({"architecture": "x86_64", "avx512_bf16": True}, torch.bfloat16),
        ({"architecture": "x86_64", "avx512_bf16": False}, torch.float32),
        ({"architecture": "aarch64", "bf16": True}, torch.float32),
    ],
)
def test_auto_takes_bfloat16_on_a_cpu_that_is_fast_in_it_and_says_so(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture, has: dict[str, Any], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert inference.resolve_precision("auto", CPU) == dtype
    assert f"precision auto: {dtype}, for a CPU with" in log.text
    assert inference.resolve_precision("float32", CPU) == torch.float32
    assert "WARNING" not in log.text
    assert inference.resolve_precision("bfloat16", CPU) == torch.bfloat16
    slow = has == {"architecture": "x86_64", "avx512_bf16": False}
    assert ("many times as long as float32; set it to auto" in log.text) == slow


def test_this_cpus_capabilities_are_told_by_the_names_that_are_looked_for() -> None:
    has = torch.cpu.get_capabilities()
    assert has["architecture"] != "x86_64" or isinstance(has["avx512_bf16"], bool)


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_auto_takes_float16_on_older_gpus_and_bfloat16_from_8_0(
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
    capability: tuple[int, int],
    dtype: torch.dtype,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert inference.resolve_precision("auto", torch.device("cuda")) == dtype
    assert f"for a GPU of compute capability {capability[0]}.{capability[1]}" in log.text
    assert inference.resolve_precision("float16", torch.device("cuda")) == torch.float16


def test_logits_do_not_depend_on_the_size_of_the_batches() -> None:
    model = shallow(dropout=0.9)
    model.train()
    whole = inference.predict_logits(
        model, TRAIN, torch.arange(11), batch_size=11, device=CPU, dtype=torch.float32
    )
    assert (whole.dtype, whole.shape) == (torch.float32, (11, 3))
    for size in (1, 4):
        again = inference.predict_logits(
            model, TRAIN, torch.arange(11), batch_size=size, device=CPU, dtype=torch.float32
        )
        assert torch.allclose(again, whole, atol=rounding(whole))


def test_scoring_changes_nothing_in_the_network() -> None:
    model = shallow()
    before = copy.deepcopy(model.state_dict())
    model.train()
    inference.predict_logits(model, TRAIN, torch.arange(11), batch_size=4, device=CPU, dtype=torch.float32)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_the_history_is_a_table_with_a_row_an_epoch() -> None:
    rows = [
        Epoch(1, 2.34567891, 0.5, 1.25, 1 / 3, 0.25, 1e-3, 12.34567),
        Epoch(2, 1.0, 1.0, 0.5, 2 / 3, 0.5, 1.23456e-8, 0.5),
    ]
    assert loop.history_csv(rows) == (
        "epoch,train_loss,train_accuracy,val_loss,val_accuracy,val_macro_f1,learning_rate,gradient_norm\n"
        "1,2.345679,0.5,1.25,0.333333,0.25,0.001,12.35\n"
        "2,1.0,1.0,0.5,0.666667,0.5,1.235e-08,0.5\n"
    )
    assert loop.history_csv([]).count("\n") == 1


def test_the_number_of_threads_is_the_one_asked_for() -> None:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        device = inference.prepare_device(1)
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
