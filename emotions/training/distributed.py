"""The processes of one training: one, or several started by `torchrun`, through accelerate.

Each process holds the whole network and takes its share of every batch; the gradients are averaged.
"""

import os
from typing import Final

import torch
from accelerate import Accelerator

from emotions.runtime.console import log
from emotions.runtime.parallel import cores

NAMES: Final = {torch.float32: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}
"""accelerate's names of the number formats of the matrix products."""


class ProcessesError(RuntimeError):
    """Processes that cannot train together; the message names the knob."""


def start(device: torch.device, dtype: torch.dtype) -> Accelerator:
    """Join the other processes of this training, if there are any (`torchrun` says so in the environment).

    Raises:
        ProcessesError: more processes on this machine than GPUs, or processes that are not connected.
    """
    world, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if device.type == "cuda" and local > torch.cuda.device_count():
        raise ProcessesError(
            f"launcher starts {local} processes on a machine with {torch.cuda.device_count()} GPU(s); "
            "start one for each GPU (--nproc-per-node)"
        )
    if device.type == "cpu" and local > 1 and local * torch.get_num_threads() > cores():
        log.warning(
            f"{local} processes x {torch.get_num_threads()} threads on {cores()} cores slow each other down; "
            f"set train.threads to {max(1, cores() // local)}"
        )
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision=NAMES[dtype])
    if accelerator.num_processes != world:
        raise ProcessesError(
            f"{world} processes were started, but they are not connected; without a GPU they need gloo, "
            "which this build of torch lacks"
        )
    if world > 1:
        log.info(f"process {accelerator.process_index} of {world}, {accelerator.device}")
    return accelerator


def share(batch_size: int, processes: int, index: int) -> slice:
    """A process's slice of each batch.

    Raises:
        ProcessesError: the batch cannot be divided evenly.
    """
    if batch_size % processes:
        raise ProcessesError(
            f"train.batch_size is {batch_size}, which {processes} processes cannot share evenly; "
            f"set it to {max(1, batch_size // processes) * processes}"
        )
    each = batch_size // processes
    return slice(index * each, (index + 1) * each)
