"""Work on a stream comes back in its order, a bounded number of items ahead, and ends when it should."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT, wait_for
from hypothesis import given
from hypothesis import strategies as st

from emotions.runtime.parallel import cores, in_order


class Counted:
    """0, 1, 2, ... up to `length`; `taken` counts those asked for."""

    def __init__(self, length: int) -> None:
        self.length, self.taken, self.all_taken = length, 0, threading.Event()

    def __iter__(self) -> Iterator[int]:
        for item in range(self.length):
            self.taken += 1
            if self.taken == self.length:
                self.all_taken.set()
            yield item


@given(st.lists(st.integers()), st.integers(1, 5), st.integers(1, 9))
def test_the_results_are_those_of_map(items: list[int], workers: int, ahead: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        assert list(in_order(pool, abs, items, ahead=ahead)) == list(map(abs, items))


def test_a_result_that_is_ready_early_waits_for_those_before_it() -> None:
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_done.wait(60)
        else:
            second_done.set()
        return item

    with ThreadPoolExecutor(2) as pool:
        assert list(in_order(pool, work, [0, 1], ahead=2)) == [0, 1]


@pytest.mark.parametrize("ahead", [1, 3, 8])
def test_no_more_items_are_taken_than_may_be_ahead(ahead: int) -> None:
    items = Counted(30)
    with ThreadPoolExecutor(2) as pool:
        for given_back, _ in enumerate(in_order(pool, abs, items, ahead=ahead)):
            assert items.taken <= given_back + ahead
    assert items.taken == 30


def test_nothing_is_taken_before_the_first_result_is_asked_for() -> None:
    items = Counted(5)
    with ThreadPoolExecutor(1) as pool:
        in_order(pool, abs, items, ahead=5)
    assert items.taken == 0


def test_the_error_of_an_item_reaches_the_consumer_and_what_had_not_begun_never_does() -> None:
    items, told, begun = Counted(6), threading.Event(), []

    def work(item: int) -> int:
        begun.append(item)
        if item == 0:
            assert items.all_taken.wait(60)
            raise ValueError("item 0")
        assert told.wait(60)
        return item

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="item 0"):
            list(in_order(pool, work, items, ahead=6))
        told.set()
    assert begun in ([0], [0, 1])


def test_the_error_of_the_stream_reaches_the_consumer() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("stream")

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="stream"):
        list(in_order(pool, abs, broken(), ahead=4))


def test_closing_early_waits_for_nothing_and_begins_nothing() -> None:
    closed, begun = threading.Event(), []

    def work(item: int) -> int:
        begun.append(item)
        if item > 0:
            assert closed.wait(60)
        return item

    with ThreadPoolExecutor(1) as pool:
        results = in_order(pool, work, Counted(8), ahead=8)
        assert next(results) == 0
        results.close()
        closed.set()
    assert begun in ([0], [0, 1])


def test_there_is_a_core() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


PARENT = """
import multiprocessing, time
from concurrent.futures import ProcessPoolExecutor
from emotions.runtime.parallel import end_with_parent

if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), initializer=end_with_parent)
    list(pool.map(time.sleep, [0.1] * 4))
    print(*[process.pid for process in multiprocessing.active_children()], flush=True)
    time.sleep(600)
"""


def test_the_workers_of_a_killed_process_end(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert len(workers) == 2
    wait_for(lambda: not any(map(runs, workers)))


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
