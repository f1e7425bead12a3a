"""The stages of the study, a script each, in the order of the experiment (dvc.yaml)."""

import multiprocessing
import signal

if multiprocessing.current_process().name != "MainProcess":
    # Ctrl-C reaches the worker processes of a stage, too, even while they import; the stage ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
