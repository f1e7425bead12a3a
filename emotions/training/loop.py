"""The training loop: epochs scored on clean images; it can be saved and resumed at any step."""

import contextlib
import csv
import io
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any, Final

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from sklearn.metrics import f1_score
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.models import ResNet

from emotions.data.dataset import Split
from emotions.inference import autocast, enough_memory, predict_logits, resolve_precision
from emotions.model import resnet
from emotions.model.preprocessing import normalise, to_float
from emotions.random_streams import stream_seed
from emotions.runtime.console import log, progress, show
from emotions.runtime.parallel import in_order, stopping
from emotions.training import distributed, resume
from emotions.training.augment import augment, epoch_draws, mixup, mixup_draws
from emotions.training.checkpoints import Checkpoints
from emotions.training.knobs import OptimisationParams, RunParams
from emotions.training.resume import Epoch
from emotions.training.targets import log_prior, targets

SCORING_BATCH = 64
"""Images scored at once after each epoch."""
CHECKPOINT_SECONDS: Final = 300.0
"""Age of the last checkpoint beyond which another is made within an epoch; each epoch ends with one."""


class TrainingError(RuntimeError):
    """Training that cannot start or continue; the message names the knob or the step."""


@dataclass(frozen=True)
class Fitted:
    """Result of training: history, the epoch selected on validation accuracy, its and the last weights."""

    history: list[Epoch]
    selected: Epoch
    selected_state: dict[str, torch.Tensor]
    last_state: dict[str, torch.Tensor]


def fit(
    model: ResNet,
    train: Split,
    val: Split,
    *,
    params: OptimisationParams,
    run: RunParams,
    seed: int,
    accelerator: Accelerator,
    epochs: int,
    on_epoch: Callable[[Epoch], None],
    title: str = "",
    checkpoints: Checkpoints | None = None,
) -> Fitted:
    """Train `model` and keep the epoch with the best validation accuracy (the earliest of equals).

    Resumes from the newest of `checkpoints` and ends as if never interrupted, since every draw comes from a
    stream named by epoch and step. `on_epoch` is called for all epochs, earlier ones too, in the first
    process. `title`: title of the progress bar at a terminal; without one there is no bar.

    Raises:
        TrainingError: a class without training images, fewer training images than a batch, a warm-up
            that never ends, a loss that is not finite, or too little memory.
        TargetsError: soft labels for images without votes.
        ProcessesError: the processes cannot share the batch evenly.
        KeyboardInterrupt: Ctrl-C or SIGTERM; a single process saves a checkpoint first.
    """
    _check_splits(train, val, params)
    if run.warmup_epochs and run.warmup_epochs >= epochs:
        raise TrainingError(f"warmup_epochs is {run.warmup_epochs:g} of {epochs} epochs; lower it")
    own = distributed.share(params.batch_size, accelerator.num_processes, accelerator.process_index)
    steps = len(train) // params.batch_size
    training = _Training(
        model,
        train,
        params,
        run=run,
        accelerator=accelerator,
        lr_factor=lambda step: run.lr_factor(step, steps, epochs),
        checkpoints=checkpoints,
    )
    history, first = training.reached.history, accelerator.is_main_process
    log.info(f"{title or 'fit'}: {len(train)} images, {len(val)} for validation, {training.dtype}")
    if history or training.reached.steps:
        show(f"{title or 'fit'}: going on after epoch {len(history)}, step {training.reached.steps}")
    for epoch in history if first else []:
        on_epoch(epoch)
    # The curve scores only as many training images as validation has; `evaluate` scores all.
    sample = torch.randperm(len(train), generator=torch.Generator().manual_seed(stream_seed(seed, "curve")))
    sample = sample[: len(val)].sort().values

    done = (len(history) * steps + training.reached.steps) * params.batch_size
    # smoothing=0 estimates the time left from the mean speed so far, scoring between epochs included.
    bar = progress(title, epochs * steps * params.batch_size, smoothing=0, initial=done)
    memory = enough_memory("train.batch_size or train.image_size")
    with bar, memory, _interruption(accelerator.num_processes == 1) as interrupted:
        while len(history) < epochs:
            number, begun, skipped = len(history) + 1, time.perf_counter(), training.reached.steps
            bar.set_description(f"{title}  epoch {number}/{epochs}")
            resnet.train_mode(model)
            for images, targets in _batches(
                training, train, params, run=run, seed=seed, epoch=number, own=own
            ):
                training.step(images, targets)
                known = f", val {100 * history[-1].val_accuracy:.1f} %" if history else ""
                bar.set_postfix_str(f"loss {training.last_loss:.3f}{known}", refresh=False)
                bar.update(params.batch_size)
                if training.seconds_unsaved() > CHECKPOINT_SECONDS:
                    training.save()
                if interrupted():
                    training.save()
                    raise KeyboardInterrupt
            speed = (steps - skipped) * params.batch_size / (time.perf_counter() - begun)
            bar.set_description(f"{title}  epoch {number}/{epochs}, scoring")
            epoch = training.scored(number, train, sample, val, steps)
            if first:
                show(
                    f"epoch {number}/{epochs}  loss {epoch.train_loss:.3f}"
                    f"  train {100 * epoch.train_accuracy:.1f} % of {len(sample)}"
                    f"  val {100 * epoch.val_accuracy:.1f} % of {len(val)}  {speed:.1f} img/s"
                )
                on_epoch(epoch)
            training.save()
            if interrupted():
                raise KeyboardInterrupt
    reached = training.reached
    assert reached.selected is not None
    return Fitted(history, reached.best, reached.selected, resnet.snapshot(training.scored_model))


@dataclass(frozen=True)
class _Numbers:
    """Loss and gradient norm of a step, being copied from the device. `step`: number in its epoch, from 1."""

    step: int
    values: torch.Tensor
    there: torch.cuda.Event | None

    @classmethod
    def ask(cls, step: int, loss: torch.Tensor, norm: torch.Tensor) -> "_Numbers":
        """Start copying loss and norm to the CPU, without waiting for a GPU."""
        there = torch.cuda.Event() if loss.is_cuda else None
        values = torch.stack([loss.detach(), norm]).to("cpu", non_blocking=True)
        if there is not None:
            there.record()
        return cls(step, values, there)

    def read(self) -> tuple[float, float]:
        """Wait for loss and norm, and return them."""
        if self.there is not None:
            self.there.synchronize()
        loss, norm = self.values.tolist()
        return loss, norm


class _Training:
    """A network in training, its optimizer and its progress; new or restored from a checkpoint."""

    def __init__(
        self,
        model: ResNet,
        train: Split,
        params: OptimisationParams,
        *,
        run: RunParams,
        accelerator: Accelerator,
        lr_factor: Callable[[int], float],
        checkpoints: Checkpoints | None,
    ) -> None:
        self.model, self.accelerator, self.checkpoints = model, accelerator, checkpoints
        self.targets, self.lr_factor = targets(train, run.soft_labels).to(accelerator.device), lr_factor
        self.label_smoothing, self.steps_an_epoch = run.label_smoothing, len(train) // params.batch_size
        self.adjustment: torch.Tensor | None = None
        if run.logit_adjustment:
            self.adjustment = run.logit_adjustment * log_prior(self.targets, run.label_smoothing)
        self.dtype = resolve_precision(params.precision, accelerator.device)
        self.mixes = run.mixup_alpha > 0
        resnet.freeze(model, run.trainable_parts)
        groups = resnet.parameter_groups(model, run.lr.body, run.lr.head, decay=run.lr.decay)
        self.rates = [group["lr"] for group in groups]
        optimizer = _optimizer(groups, params, accelerator.device)
        self.average: AveragedModel | None = None
        if run.ema_decay:
            self.average = AveragedModel(
                model, multi_avg_fn=get_ema_multi_avg_fn(run.ema_decay), use_buffers=True
            )
        state = resume.newest(checkpoints, accelerator)
        if state is not None:
            resume.restore(state, model, optimizer, average=self.average)
        self.parallel, self.optimizer = accelerator.prepare(model, optimizer)
        self.reached = resume.reached(state, accelerator.scaler)
        self._saved = time.monotonic()
        self._unread: _Numbers | None = None
        self.last_loss = math.nan
        """This process's loss at the last step read."""

    @property
    def scored_model(self) -> ResNet:
        """The network that is validated and saved as output: the trained one, or its weight average."""
        return self.model if self.average is None else self.average.module

    def step(self, images: torch.Tensor, targets: torch.Tensor) -> None:
        """Make one update; images float [n, 3, H, W], normalised; targets [n, C].

        A GPU may still be at work on return. Its loss is read after the next step is queued, so that the GPU
        never waits for the CPU.

        Raises:
            TrainingError: the previous step's loss is not finite.
        """
        factor = self.lr_factor(len(self.reached.history) * self.steps_an_epoch + self.reached.steps)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        logits = self.parallel(images).float()
        if self.adjustment is not None:
            logits = logits + self.adjustment
        loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.accelerator.unscale_gradients(self.optimizer)  # float16 only; else the optimizer does it
        asked = _Numbers.ask(self.reached.steps + 1, loss, self._gradient_norm())
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.reached.steps += 1
        self.read_loss()
        self._unread = asked

    def _gradient_norm(self) -> torch.Tensor:
        """L2 norm of all gradients together, float32 [], on the device."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]).float()

    def read_loss(self) -> None:
        """Read the last step's loss and gradient norm, waiting if necessary.

        Raises:
            TrainingError: the loss is not finite.
        """
        if self._unread is None:
            return
        step, (self.last_loss, norm) = self._unread.step, self._unread.read()
        self._unread = None
        if not math.isfinite(self.last_loss):
            raise self._not_finite(f"the loss is {self.last_loss}", step)
        self.reached.loss += self.last_loss
        if math.isfinite(norm):  # the optimizer skips an overflowing float16 step, too
            self.reached.gradient_norm += norm

    def scored(self, number: int, train: Split, sample: torch.Tensor, val: Split, steps: int) -> Epoch:
        """End an epoch: score clean images, and keep the weights if they are the best so far."""
        self.read_loss()
        if self.mixes:
            with autocast(self.accelerator.device, self.dtype):
                resnet.recompute_statistics(self.scored_model, self._clean(train, sample))
        if self.accelerator.num_processes > 1:  # each has its own batch-norm statistics; use the first's
            for buffer in self.scored_model.buffers():
                torch.distributed.broadcast(buffer, 0)
        train_logits, val_logits = self._logits(train, sample), self._logits(val, torch.arange(len(val)))
        val_loss = F.cross_entropy(val_logits, val.labels).item()
        if not math.isfinite(val_loss):
            raise self._not_finite(f"the validation loss is {val_loss}", self.reached.steps)
        loss = torch.tensor(self.reached.loss / steps, dtype=torch.float64)
        epoch = Epoch(
            epoch=number,
            train_loss=self._of_all(loss, "mean").item(),
            train_accuracy=_accuracy(train_logits, train.labels[sample]),
            val_loss=val_loss,
            val_accuracy=_accuracy(val_logits, val.labels),
            val_macro_f1=float(
                f1_score(
                    val.labels,
                    val_logits.argmax(1),
                    labels=range(len(val.classes)),
                    average="macro",
                    zero_division=0,
                )
            ),
            learning_rate=max(group["lr"] for group in self.optimizer.param_groups),
            gradient_norm=self.reached.gradient_norm / steps,
        )
        reached = self.reached
        better = not reached.history or epoch.val_accuracy > reached.best.val_accuracy
        reached.history.append(epoch)
        reached.steps, reached.loss, reached.gradient_norm = 0, 0.0, 0.0
        if better:
            reached.selected = resnet.snapshot(self.scored_model)
        return epoch

    def seconds_unsaved(self) -> float:
        """Seconds since the last checkpoint."""
        return time.monotonic() - self._saved

    def save(self) -> None:
        """Save a checkpoint, in the first process only.

        Raises:
            TrainingError: the weights or the last loss are not finite; earlier checkpoints are kept.
        """
        self.read_loss()
        self._saved = time.monotonic()
        if self.checkpoints is None or not self.accelerator.is_main_process:
            return
        if not all(p.isfinite().all() for p in self.model.parameters()):
            raise self._not_finite("a weight is not finite", self.reached.steps)
        reached, scaler = self.reached, self.accelerator.scaler
        state = resume.kept(reached, self.model, self.optimizer, average=self.average, scaler=scaler)
        self.checkpoints.save(len(reached.history), reached.steps, state)

    def _clean(self, split: Split, rows: torch.Tensor) -> Iterator[torch.Tensor]:
        """Images of `rows` as they are scored, in batches: float [n, 3, H, W], normalised, on the device."""
        for batch in rows.split(SCORING_BATCH):
            yield normalise(to_float(split.take(batch).to(self.accelerator.device)))

    def _logits(self, split: Split, rows: torch.Tensor) -> torch.Tensor:
        """Logits of `rows`, each scored by one process: float32 [n, C], on the CPU."""
        each = math.ceil(len(rows) / self.accelerator.num_processes)
        start = self.accelerator.process_index * each
        logits = torch.zeros(len(rows), len(split.classes))
        own = predict_logits(
            self.scored_model,
            split,
            rows[start : start + each],
            batch_size=SCORING_BATCH,
            device=self.accelerator.device,
            dtype=self.dtype,
        )
        logits[start : start + each] = own
        return self._of_all(logits, "sum")

    def _of_all(self, tensor: torch.Tensor, reduction: str) -> torch.Tensor:
        return self.accelerator.reduce(tensor.to(self.accelerator.device), reduction).cpu()

    def _not_finite(self, what: str, step: int) -> TrainingError:
        epoch = len(self.reached.history) + 1
        return TrainingError(
            f"{what} at epoch {epoch}, step {step}; lower the learning rates of this run or set "
            "train.precision to float32. The checkpoint of the last finite state is kept"
        )


def _check_splits(train: Split, val: Split, params: OptimisationParams) -> None:
    if len(train) < params.batch_size:
        raise TrainingError(
            f"train.batch_size is {params.batch_size}, the train split has {len(train)} images; lower it"
        )
    for name, split in (("train", train), ("val", val)):
        absent = [c for i, c in enumerate(split.classes) if not (split.labels == i).any()]
        if absent and name == "train":
            raise TrainingError(
                f"no training image of {', '.join(absent)}: nothing could learn it; add images or choose "
                "data.classes without it"
            )
        if absent:
            log.warning(f"no validation image of {', '.join(absent)}: macro-F1 counts it as 0")


@contextlib.contextmanager
def _interruption(alone: bool) -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C or SIGTERM has come, or the parent process is gone. The
    first signal waits for the end of the step; a second does not.

    Several processes each end at once, since the others would wait in vain for this one.
    """
    signals = (signal.SIGINT, signal.SIGTERM)
    alone = alone and threading.current_thread() is threading.main_thread()
    before = [signal.getsignal(number) for number in signals]

    def ask(*_: object) -> None:
        stopping.set()
        restore()

    def restore() -> None:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)

    if alone:
        for number in signals:
            signal.signal(number, ask)
    try:
        yield lambda: alone and stopping.is_set()
    finally:
        if alone:
            restore()
            stopping.clear()


def _batches(
    training: _Training,
    train: Split,
    params: OptimisationParams,
    *,
    run: RunParams,
    seed: int,
    epoch: int,
    own: slice,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """This process's share of an epoch's remaining batches: images float [n, 3, H, W], normalised, and
    targets [n, C].

    Each epoch has its own order of the images; an incomplete last batch is left out.
    """
    device, head, size = training.accelerator.device, training.model.fc, params.batch_size
    generator = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
    order = torch.randperm(len(train), generator=generator)
    draws = epoch_draws(seed, epoch, len(train), kind=run.augmentation)

    def augmented(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Augmented images and targets of rows of the split."""
        images = augment(
            to_float(_sent(train.take(rows), device)), _sent(draws[rows], device), run.augmentation
        )
        return images, training.targets[_sent(rows, device)]

    def prepare(step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Images, targets, and the mask of features that dropout keeps."""
        batch = order[step * size : (step + 1) * size]
        keep = _sent(resnet.dropout_draws(seed, epoch, step, size=size, head=head)[own], device)
        places = torch.arange(size)[own]
        if run.mixup_alpha == 0:
            images, targets = augmented(batch[places])
        else:
            weight, partner = (
                d[own] for d in mixup_draws(seed, epoch, step, size=size, alpha=run.mixup_alpha)
            )
            # Partners may be in other processes' shares; each prepares the images it needs, once.
            needed, at = torch.unique(torch.cat([places, partner]), return_inverse=True)
            one, other = _sent(at, device).split(len(places))
            weight = _sent(weight, device)
            images, targets = augmented(batch[needed])
            images = mixup(images[one], images[other], weight)
            targets = mixup(targets[one], targets[other], weight)
        return normalise(images), targets, keep

    steps = range(training.reached.steps, len(train) // size)
    with ThreadPoolExecutor(1, initializer=_use, initargs=(device,)) as pool:
        ready = in_order(pool, prepare, steps, ahead=2) if _prepares_ahead(device) else map(prepare, steps)
        for images, targets, keep in ready:
            head.keep = keep
            yield images, targets


def _prepares_ahead(device: torch.device) -> bool:
    """Whether a thread prepares the next batch while this one queues a step. Queuing a step's thousand
    operations takes a CPU as long as the GPU takes to run them. When training on the CPU, its cores are
    busy already."""
    return device.type == "cuda"


def _use(device: torch.device) -> None:
    """Select this process's GPU in a new thread; each thread has its own current GPU."""
    if device.index is not None:
        torch.cuda.set_device(device)


def _sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy `tensor` to the device; to a GPU from pinned memory, without waiting for pending work."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def history_csv(history: list[Epoch]) -> str:
    """Training history, a row per epoch: fractions and losses to 6 decimals, the others to 4 digits."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [f.name for f in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    for epoch in history:
        short = {name: float(f"{getattr(epoch, name):.4g}") for name in ("learning_rate", "gradient_norm")}
        writer.writerow({name: round(value, 6) for name, value in asdict(epoch).items()} | short)
    return out.getvalue()


def _accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return (logits.argmax(1) == labels).double().mean().item()


def _optimizer(
    groups: list[dict[str, Any]], params: OptimisationParams, device: torch.device
) -> torch.optim.Optimizer:
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": partial(torch.optim.SGD, momentum=0.9),
    }
    # fused: one operation replaces many, and with float16 the GPU itself decides whether to skip a step.
    fused = True if device.type in ("cuda", "cpu") else None
    return kinds[params.optimizer](groups, weight_decay=params.weight_decay, fused=fused)
