"""One holds a lock at a time, others learn who, and a dead holder's lock is free."""

import json
import multiprocessing
import os
import platform
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from macrec.lock import Lock, holder, locked, warn


def hold(path, ready):
    """Hold a lock until this process is killed."""
    with locked(path, "a test"):
        ready.set()
        signal.pause()


@pytest.fixture
def elsewhere():
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_the_lock_of_a_killed_process_is_free_and_until_then_it_names_the_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path / "lock", ready))
    process.start()
    ready.wait()
    who = rf"a test \(process {process.pid} on {re.escape(platform.node())}, since \d{{4}}-\d\d-\d\d [\d:]+\)"
    assert not Lock(tmp_path / "lock", "").acquire(blocking=False) and re.fullmatch(who, holder(tmp_path / "lock"))
    told = []

    def wait(holder):
        told.append(holder)
        process.kill()

    with locked(tmp_path / "lock", "mine", wait) as lock:
        assert lock.held and holder(tmp_path / "lock").startswith(f"mine (process {os.getpid()} ")
    assert len(told) == 1 and re.fullmatch(who, told[0])
    process.join()


def test_whoever_is_told_may_refuse_to_wait(tmp_path, elsewhere):
    first = Lock(tmp_path / "lock", "a test")
    elsewhere.submit(first.acquire).result()

    def refuse(holder):
        raise BlockingIOError(holder)

    with pytest.raises(BlockingIOError, match="a test"), locked(tmp_path / "lock", "", refuse):
        pytest.fail("two hold it")

    def wait(holder):
        warn(holder)
        first.release()

    with pytest.warns(UserWarning, match=r"waiting for a test \(process"), locked(tmp_path / "lock", "", wait) as lock:
        assert lock.held and not first.held


def test_a_thread_does_not_wait_for_itself(tmp_path):
    with locked(tmp_path / "lock", "first") as first:
        with pytest.raises(RuntimeError, match="holds"), locked(tmp_path / "lock", "second"):
            pytest.fail("two hold it")
        with locked(tmp_path / "lock", "second", take_over=True) as second:
            assert second.held and not first.held
        assert not second.held
    with locked(tmp_path / "lock", "third") as third:
        first.release()  # as late as it may come
        assert third.held and not Lock(tmp_path / "lock", "").acquire(blocking=False)


def test_the_lock_of_a_thread_that_ended_can_be_taken_over(tmp_path):
    left = Lock(tmp_path / "lock", "left")
    with ThreadPoolExecutor(1) as thread:
        thread.submit(left.acquire).result()
    with locked(tmp_path / "lock", "next", take_over=True) as lock:
        assert lock.held and not left.held


def test_a_lock_whose_file_was_removed_keeps_nobody_out_and_does_no_harm(tmp_path):
    with locked(tmp_path / "lock", "old"):
        (tmp_path / "lock").unlink()
        new = Lock(tmp_path / "lock", "new")
        assert new.acquire(blocking=False) and holder(tmp_path / "lock").startswith("new")
        new.release()


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"what": 1}', b'{"what": "a", "host": "b", "since": 1e400, "process": 1}',
     b'{"what": "a", "host": "b", "since": 99999999999999999999, "process": 1}'],
)  # fmt: skip
def test_a_damaged_lock_file_is_as_good_as_any(tmp_path, text):
    (tmp_path / "lock").write_bytes(text)
    assert holder(tmp_path / "lock") == "another process" == holder(tmp_path / "none")
    with locked(tmp_path / "lock", "mine") as lock:
        assert lock.held and json.loads((tmp_path / "lock").read_bytes())["what"] == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks otherwise")
def test_a_file_system_without_locks_is_named_in_a_warning(tmp_path, monkeypatch):
    import errno
    import fcntl

    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    said = pytest.warns(UserWarning, match="cannot lock files.*only one process at a time")
    with said, locked(tmp_path / "lock", "mine") as lock:
        assert lock.held
