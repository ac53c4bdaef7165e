"""Dask: the same tasks by processes or threads of this machine, or by the workers of a cluster."""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any

from napari_sbd.batch.processes import cores, pool_of, with_stop

LOCAL = ("processes", "threads")
POLL = 0.1  # s between looks at the stop event
CONNECT = 10.0  # s to wait for a scheduler
KILLED = (
    "its process ended at once, for lack of memory or by a fault of a library: use fewer workers, or crop "
    "the image"
)

Job = Callable[..., Any]  # takes the event that stops it as `stop`
Lost = Callable[[int, str], Any]  # number and message → what stands for its result
Results = Generator[tuple[int, Any], None, None]


def default_workers(tasks: int) -> int:
    """As many as there are cores, and no more than tasks."""
    return max(1, min(cores(), tasks))


def is_local(scheduler: Any) -> bool:
    """Whether it works on this machine."""
    return scheduler is None or scheduler in LOCAL


def check_scheduler(scheduler: Any) -> None:
    """Raise unless there can be such a scheduler; connects to none."""
    if is_local(scheduler) or _is_client(scheduler):
        return
    if not isinstance(scheduler, str) or ":" not in scheduler:
        raise ValueError(
            f"scheduler must be 'processes', 'threads', the address of a Dask scheduler such as "
            f"'tcp://host:8786', or a Client, not {scheduler!r}"
        )
    _distributed()


def run(
    jobs: Mapping[int, Job], lost: Lost, scheduler: Any, workers: int, stop: threading.Event | None
) -> Results:
    """Run jobs; yields number and result of each as it is done.

    Parameters
    ----------
    jobs : mapping of int to callable
    lost : callable
        Makes the result of a job that came to nothing.
    scheduler : str, Client or None
        'processes', 'threads', or a cluster's. None takes processes; for one worker, a thread of this one.
    workers : int
        On this machine.
    stop : threading.Event, optional
        Once set, jobs are told; those of a cluster that run already run on, unheard.
    """
    stop = stop or threading.Event()
    if scheduler is None:
        # Processes, for the recovery's many small steps hold the GIL: two threads are no faster than one.
        scheduler = "processes" if min(workers, len(jobs)) > 1 else "threads"
    if scheduler == "threads":
        return _by_threads(jobs, workers, stop)
    if scheduler == "processes":
        return _by_processes(jobs, lost, min(workers, len(jobs)), stop)
    return _by_cluster(jobs, lost, scheduler, stop)


def _by_threads(jobs: Mapping[int, Job], workers: int, stop: threading.Event) -> Results:
    from dask import threaded

    own = threading.Event()
    calls = {number: partial(job, stop=own) for number, job in jobs.items()}
    with ThreadPoolExecutor(workers) as pool:
        yield from _drained(partial(threaded.get, pool=pool), calls, stop, own, set())


def _by_processes(jobs: Mapping[int, Job], lost: Lost, workers: int, stop: threading.Event) -> Results:
    todo = dict(jobs)
    while todo:
        begun = yield from _attempt(todo, workers, stop)
        # One of those that were under way ended its process: each once more, by itself.
        for number in begun:
            if (yield from _attempt(todo, 1, stop, only=number)):
                yield number, lost(number, KILLED)
                del todo[number]


def _attempt(
    todo: dict[int, Job], workers: int, stop: threading.Event, only: int | None = None
) -> Generator[tuple[int, Any], None, set[int]]:
    """Run jobs until they are done or a process dies; what is done is taken out of `todo`.

    Returns those that were under way then.
    """
    from dask import multiprocessing

    pool, own = pool_of(workers)
    chosen = todo if only is None else {only: todo[only]}
    calls = {number: partial(with_stop, job) for number, job in chosen.items()}
    begun: set[int] = set()
    try:
        # Dask would send six tasks at a time.
        get = partial(multiprocessing.get, pool=pool, chunksize=1, optimize_graph=False)
        for number, result in _drained(get, calls, stop, own, begun):
            del todo[number]
            yield number, result
    except BrokenProcessPool:
        return begun
    finally:
        pool.shutdown(cancel_futures=True)
    return set()


def _drained(
    get: Callable[..., Any], calls: Mapping[int, Any], stop: threading.Event, own: Any, begun: set[int]
) -> Results:
    """Let one of Dask's local schedulers work in a thread, and hand on what it has done.

    Parameters
    ----------
    get : callable
        The scheduler.
    calls : mapping
    stop, own : Event
        The user's, and the one that the calls look at.
    begun : set
        Is kept to the numbers of those under way.
    """
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    run_id = uuid.uuid4().hex
    # Of tasks that wait for nothing Dask begins the one whose key is last.
    numbers = {f"{run_id}-{len(calls) - n:09d}": number for n, number in enumerate(calls)}

    def note_begin(key: str, *_: Any) -> None:
        begun.add(numbers[key])

    def note_end(key: str, result: Any, _: Any, state: dict[str, Any], __: Any) -> None:
        begun.discard(numbers[key])
        state["cache"][key] = None  # Dask would keep all until the end
        done.put((numbers[key], result))

    def drive() -> None:
        graph = {key: (calls[number],) for key, number in numbers.items()}
        try:
            get(graph, list(graph), callbacks=[(None, None, note_begin, note_end, None)])
        except BaseException as error:
            done.put(error)
        else:
            done.put(None)

    thread = threading.Thread(target=drive, name="napari-sbd batch", daemon=True)
    thread.start()
    try:
        while (item := _next(done, stop, own)) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        # Also where nobody listens any more.
        own.set()
        thread.join()


def _next(done: queue.SimpleQueue[Any], stop: threading.Event, own: Any) -> Any:
    while True:
        if stop.is_set() and not own.is_set():
            own.set()
        try:
            return done.get(timeout=POLL)
        except queue.Empty:
            continue


def _by_cluster(jobs: Mapping[int, Job], lost: Lost, scheduler: Any, stop: threading.Event) -> Results:
    done: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    with _client(scheduler) as client:
        futures = {}
        for number, job in jobs.items():
            future = client.submit(_alone, job, key=f"napari-sbd-{uuid.uuid4().hex}", pure=False)
            future.add_done_callback(lambda future, number=number: done.put((number, future)))
            futures[number] = future
        try:
            while futures and not stop.is_set():
                try:
                    number, future = done.get(timeout=POLL)
                except queue.Empty:
                    continue
                del futures[number]
                yield number, _result(number, future, lost)
            for number in futures:
                yield number, None
        finally:
            client.cancel(list(futures.values()))


def _result(number: int, future: Any, lost: Lost) -> Any:
    try:
        return future.result()
    except Exception as error:  # a worker's death, another version there…
        text = " ".join(str(error).split()) or type(error).__name__
        return lost(number, f"the cluster could not do it: {text}")


def _alone(job: Job) -> Any:
    return job(stop=threading.Event())


@contextmanager
def _client(scheduler: Any) -> Generator[Any, None, None]:
    if _is_client(scheduler):
        yield scheduler
        return
    try:
        client = _distributed().Client(scheduler, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"no Dask scheduler answers at {scheduler}: check the address, and that it runs ({error})"
        ) from error
    with client:
        yield client


def _is_client(scheduler: Any) -> bool:
    return callable(getattr(scheduler, "submit", None)) and hasattr(scheduler, "cancel")


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ImportError(
            "a cluster needs Dask's package distributed, which is not installed: "
            'pip install "napari-sbd[cluster]"'
        ) from error
    return distributed
