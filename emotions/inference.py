"""Inference: device, number format, memory, and the logits of clean images."""

import contextlib
import os
from collections.abc import Iterator

import torch
from torch import nn

from emotions.data.dataset import Split
from emotions.model.knobs import Precision
from emotions.model.preprocessing import normalise, to_float
from emotions.runtime.console import log, progress


class InferenceError(RuntimeError):
    """Inference that this machine cannot do; the message names the knob."""


def default_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def prepare_device(threads: int) -> torch.device:
    """Set deterministic algorithms and the number of CPU threads; return the device to compute on."""
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    # Deterministic mode also fills uninitialised memory; switching that off saves 4 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    device = default_device()
    log.info(f"device {device}, {torch.get_num_threads()} threads")
    return device


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The number format of the matrix products; the choice is logged.

    `auto`: bfloat16 on CPUs with AVX512-BF16 and on GPUs from compute capability 8.0, float16 on older GPUs,
    else float32. bfloat16 on an x86 CPU without these instructions is many times slower, hence a warning.

    Raises:
        InferenceError: float16 without a GPU.
    """
    if precision == "float16" and device.type != "cuda":
        raise InferenceError("train.precision: float16 needs a GPU; use auto, bfloat16 or float32 on a CPU")
    if precision != "auto":
        if precision == "bfloat16" and device.type == "cpu" and not _fast_in_bfloat16(otherwise=True):
            log.warning(
                "train.precision is bfloat16, but this CPU has no instructions for it (AVX512-BF16); it "
                "takes many times as long as float32; set it to auto"
            )
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability()
        dtype = torch.bfloat16 if capability >= (8, 0) else torch.float16
        log.info(f"precision auto: {dtype}, for a GPU of compute capability {capability[0]}.{capability[1]}")
        return dtype
    dtype = torch.bfloat16 if _fast_in_bfloat16(otherwise=False) else torch.float32
    log.info(f"precision auto: {dtype}, for a CPU with{'' if dtype == torch.bfloat16 else 'out'} AVX512-BF16")
    return dtype


def _fast_in_bfloat16(otherwise: bool) -> bool:
    """Whether an x86 CPU has instructions for bfloat16; `otherwise`: the answer for other architectures."""
    has = torch.cpu.get_capabilities()
    return bool(has["avx512_bf16"]) if has.get("architecture") == "x86_64" else otherwise


def dtype_name(dtype: torch.dtype) -> str:
    """Name of a number format in the metrics, e.g. `bfloat16`."""
    return str(dtype).removeprefix("torch.")


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Autocast to `dtype`; does nothing for float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


@contextlib.contextmanager
def enough_memory(knobs: str) -> Iterator[None]:
    """Name the knobs to lower when the machine or the GPU runs out of memory.

    Raises:
        InferenceError: in place of torch's or Python's out-of-memory error.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        cpu = "can't allocate memory" in str(error)
        if not cpu and not isinstance(error, torch.OutOfMemoryError | MemoryError):
            raise
        raise InferenceError(f"out of memory: lower {knobs} ({str(error).splitlines()[0]})") from error


@torch.inference_mode()
def predict_logits(
    model: nn.Module,
    split: Split,
    rows: torch.Tensor,
    *,
    batch_size: int,
    device: torch.device,
    dtype: torch.dtype,
    title: str = "",
) -> torch.Tensor:
    """Logits of clean images in eval mode: rows int64 [n] of `split` -> float32 [n, C] on the CPU."""
    model.eval()
    logits = []
    with progress(title, len(rows)) as bar:
        for batch in rows.split(batch_size):
            with autocast(device, dtype):
                images = normalise(to_float(split.take(batch).to(device)))
                logits.append(model(images).float().cpu())
            bar.update(len(batch))
    return torch.cat(logits) if logits else torch.empty(0, len(split.classes))
