# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # ResNet-50 on compound emotions, three training regimes
#
# The whole study from here: install, find the data, train the three runs, look at what they did. It is the same
# pipeline as `make repro`, with the same report; this notebook only starts it and shows what it made. On Kaggle: attach
# the data as a dataset, choose *GPU T4 x2* or any other accelerator, and run all cells. Without data the study draws
# its own faces.
#
# Run it again after a session that was cut off: training goes on from its last checkpoint where the folder of the
# study is still there.

# %% tags=["parameters"]
# The URL to clone the study from (on Kaggle: switch Internet on); empty where this notebook lies in a clone.
REPOSITORY = ""
# Below it lie data that were attached, if any: see "The data".
ATTACHED = "/kaggle/input"
# To params.yaml, e.g. ["train.image_size=224", "train.epochs=30"]. RAF-CE has no single emotions and needs beside them
# "pretrained.weights=imagenet1k_v1" and "pretrained.basic_emotions.epochs=0".
CHANGES = []

# %% [markdown]
# ## The repository, and what it needs

# %%
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path


def run(*command):
    """A command, with what it prints as it prints it; an error where it fails."""
    print("$", *command)
    joined = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, **joined, encoding="utf-8", errors="replace") as process:
        for line in process.stdout:
            print(line, end="")
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed with status {process.returncode}; what it said stands above")


if sys.version_info < (3, 11):
    raise RuntimeError(f"Python 3.11 or newer is needed; this kernel runs {sys.version.split()[0]}")
here = Path.cwd()
study = next((p for p in (here, *here.parents, here / "study") if (p / "dvc.yaml").is_file()), None)
if study is None:
    if not REPOSITORY:
        raise RuntimeError(
            "no clone of the study here: set REPOSITORY, in the cell above, to where it can be cloned from"
        )
    run("git", "clone", REPOSITORY, "study")
    study = here / "study"
os.chdir(study)
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ["DVC_NO_ANALYTICS"] = "1"
run(
    sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"
)
for key, value in (("user.name", "notebook"), ("user.email", "notebook@example.org")):
    if subprocess.run(["git", "config", key], capture_output=True).returncode == 1:  # it is not set
        run("git", "config", key, value)  # DVC records experiments as commits

# %% [markdown]
# ## The data
#
# | attached | source |
# |:--|:--|
# | `dataset_resnet_224.zip`, as an earlier study made it, or what Kaggle unpacked of it; or folders `train/<class>/*`, `val/...`, `test/...` ([which](../docs/data/imagefolder.md)) | `imagefolder` |
# | the official files of RAF-CE, `RAFCE_partition.txt` among them ([which](../docs/data/rafce.md)) | `rafce` |
# | `fer2013new.csv` and FER2013, as images or as `fer2013.csv` ([which](../docs/data/ferplus.md)) | `ferplus` |
# | RAF-DB, with its label lists or in numbered folders ([which](../docs/data/rafdb.md)) | `rafdb` |
# | nothing | `synthetic`: drawn faces |
#
# In folders or zips, in any capitals: the study's own sources look (`emotions/sources`). Attached data that are none of
# these, or of two, are an error; `ATTACHED = ""` leaves them alone.
#
# RAF-CE, RAF-DB and FER2013 may not be passed on: keep the attached dataset private.

# %%
sys.path.insert(0, str(study))
from emotions.sources import source_of

if ATTACHED not in ("", "/kaggle/input") and not Path(ATTACHED).is_dir():
    raise RuntimeError(f"no folder {ATTACHED}: set ATTACHED, in the first cell")
source = source_of(Path(ATTACHED)) if ATTACHED and Path(ATTACHED).is_dir() else None
if source:
    target = Path("data/raw") / source
    if not target.exists():  # links, so that nothing is copied; what is there from before stays
        shutil.copytree(ATTACHED, target, copy_function=os.symlink)
    print(f"{ATTACHED} -> {target}")
source = source or "synthetic"
print(f"data.source={source}")

# %% [markdown]
# ## The study
#
# One command. The number format is chosen for the machine. As many trainings run at once as there are GPUs, each on
# its own, or cores where there is none.

# %%
import torch

gpus = torch.cuda.device_count()
if not gpus and shutil.which("nvidia-smi"):
    asked = subprocess.run(["nvidia-smi", "-L"], capture_output=True, encoding="utf-8", errors="replace")
    if asked.returncode == 0:
        raise RuntimeError(
            f"here are GPUs that torch {torch.__version__} cannot use: take another accelerator, or none"
        )
    print(f"no GPU is used; nvidia-smi says: {(asked.stdout + asked.stderr).strip() or asked.returncode}")
print(f"{gpus} GPUs")
options = [part for change in (f"data.source={source}", *CHANGES) for part in ("-S", change)]
run(sys.executable, "-m", "tools.repro", *options, "--name", time.strftime("at-%H-%M-%S"))

# %% [markdown]
# ## The table, the verdicts, the ledger
#
# The summary of the report: what the measurements support, and what they do not.

# %%
from IPython.display import Image, Markdown, display

report = Path("report/report.md").read_text(encoding="utf-8")
display(Markdown("## " + report.split("\n## ")[1]))

# %% [markdown]
# ## Curves, confusions, classes

# %%
for name in ("training_curves", "confusion_matrices", "per_class_f1"):
    display(Image(f"plots/{name}.png"))

# %% [markdown]
# ## Where the runs look
#
# Heat by area over the whole validation split, then examples of each class, right and wrong. Whether such maps say
# anything is a question of its own: the report answers it.

# %%
display(Image("plots/attention.png"))
for gallery in sorted(Path("plots/runs").glob("*/gallery.jpg")):
    display(Markdown(f"**{gallery.parent.name}**"), Image(str(gallery)))

# %% [markdown]
# ## To take home
#
# `report/report.html` is one file, with all figures in it; `models/best_resnet50.pth` holds the weights of the best
# run by validation, for plain torchvision too; `data/dataset_resnet_224.zip` can be attached the next time.
#
# To see what one knob moves, change it in `CHANGES` and run the last cells again: only what depends on it is trained
# anew, and `!python -m dvc exp show` compares.

# %%
for path in ("report/report.html", "models/best_resnet50.pth", "data/dataset_resnet_224.zip"):
    print(f"{study / path}  {Path(path).stat().st_size / 1e6:.1f} MB")
