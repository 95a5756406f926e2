"""What python does with processes: the same on the host and in an enclave."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection

NESTED = (
    "import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', 'print(42)']))"
)


def main() -> None:
    """Start programs, and copies of itself, in all ways that python has."""
    print(subprocess.run(["echo", "hi"], capture_output=True, check=True).stdout)
    inner = "import os, sys; print(sys.argv[1], os.getppid() > 0)"
    print(subprocess.check_output([sys.executable, "-c", inner, "inner"]))
    print(subprocess.check_output([sys.executable, "-c", NESTED]))
    print(subprocess.run(["sh", "-c", "exit 5"], check=False).returncode)
    print(subprocess.run(["sh", "-c", "kill -9 $$"], check=False).returncode)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        print(len(cat.communicate(b"x" * 1_000_000)[0]))
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        sleeper.send_signal(signal.SIGTERM)
    print(sleeper.returncode)
    _change_a_copy()
    _write_to_a_parent()
    _fork_beside_a_thread()
    _use_a_worker()


def _change_a_copy() -> None:
    data = [1]
    pid = os.fork()
    if pid == 0:
        data.append(2)
        os._exit(len(data))
    print(_status_of(pid), data)


def _write_to_a_parent() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        for part in range(100):
            os.write(writer, bytes([part]) * 10_000)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        print(sum(pipe.read()), _status_of(pid))


def _fork_beside_a_thread() -> None:
    ticks: list[int] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(0.001):
            ticks.append(1)

    ticker = threading.Thread(target=tick)
    ticker.start()
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            os._exit(threading.active_count())
        print(_status_of(pid), end=" ")
    time.sleep(0.05)
    stop.set()
    ticker.join()
    print(len(ticks) > 0)


def _sum_squares(sender: Connection) -> None:
    sender.send(sum(number * number for number in range(100)))


def _use_a_worker() -> None:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_sum_squares, args=(sender,))
    worker.start()
    print(receiver.recv())
    worker.join()
    print(worker.exitcode)


def _status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main()
