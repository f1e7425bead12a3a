"""A warm Python for DVC, stages and tools of tiny studies: libraries are imported once, each call is a fork.

The study's own code (`emotions`, `stages`, `tools`) is imported fresh by each fork, from the folder that it
runs in. Without this DVC and a stage of a tiny study spend seconds on imports, and moments on their work.

Usage: python tests/warm.py SOCKET
"""

import importlib
import json
import os
import runpy
import signal
import socket
import struct
import sys
import sysconfig
import threading
import venv
from pathlib import Path
from typing import Final

LIBRARIES: Final = (
    *("torch", "torchvision.models", "sklearn.linear_model", "sklearn.metrics", "pandas", "scipy.stats"),
    *("statsmodels.stats.proportion", "accelerate", "dvclive", "cv2", "PIL.Image", "imagehash", "faiss"),
    *("matplotlib.pyplot", "pytorch_grad_cam", "pytorch_grad_cam.metrics.road", "pydantic", "yaml", "dlib"),
    *("dvc.cli", "dvc.repo.reproduce", "dvc.repo.experiments", "dvc.commands.repro", "dvc_data.hashfile.db"),
)
SHIM: Final = """#!{python} -SE
import json, os, socket, struct, sys
if sys.argv[1:2] == ["-m"] and sys.argv[2].startswith(("stages.", "vlm.", "dvc", "tools.")):
    ask = socket.socket(socket.AF_UNIX)
    ask.connect({path!r})
    order = {{"python": {shim!r}, "argv": sys.argv[2:], "cwd": os.getcwd(), "env": dict(os.environ)}}
    order = json.dumps(order).encode()
    socket.send_fds(ask, [struct.pack("I", len(order))], [0, 1, 2])
    ask.sendall(order)
    answer = ask.recv(4)
    sys.exit(struct.unpack("i", answer)[0] if answer else 70)
os.execv({base!r}, [{shim!r}, *sys.argv[1:]])
"""
"""Stands for `python`: DVC, stages, tools go to the warm process, all else to Python, told to be the shim."""


def install(folder: Path, socket_path: Path) -> Path:
    """A virtual environment in `folder` with the libraries of this one. Returns its `python`, the shim."""
    venv.EnvBuilder(symlinks=True).create(folder)
    libraries = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    libraries.rmdir()
    libraries.symlink_to(sysconfig.get_path("purelib"))
    shim = folder / "bin/python"
    base = os.path.realpath(sys.executable)
    shim.unlink()
    shim.write_text(SHIM.format(python=sys.executable, base=base, shim=str(shim), path=str(socket_path)))
    shim.chmod(0o755)
    dvc = folder / "bin/dvc"
    dvc.write_text(f'#!/bin/sh\nexec "{shim}" -m dvc "$@"\n')
    dvc.chmod(0o755)
    return shim


def serve(path: str) -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a fork would lose the other threads"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    print("ready", flush=True)
    while True:
        asked, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answer(asked)
        asked.close()


def answer(asked: socket.socket) -> None:
    """Run the stage in a process of its own and send its exit status. Does not return."""
    head, files, _, _ = socket.recv_fds(asked, 4, 3)
    (length,) = struct.unpack("I", head)
    text = b""
    while len(text) < length:
        text += asked.recv(length - len(text))
    worker = os.fork()
    if worker == 0:
        asked.close()
        run(json.loads(text), files)
    status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    asked.sendall(struct.pack("i", status if status >= 0 else 128 - status))
    os._exit(0)


def run(order: dict, files: list[int]) -> None:
    """Become the stage. Does not return."""
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    module, *arguments = order["argv"]
    sys.argv = [module, *arguments]
    if module.startswith("tools."):  # what it starts is warm, too
        sys.executable = order["python"]
    sys.path[0] = order["cwd"]
    status = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
