"""What python does with processes: the same on the host and in an enclave."""

import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time


def square(number: int) -> int:
    return number * number


def main() -> None:
    print(subprocess.run(["echo", "hi"], capture_output=True, check=True).stdout)
    inner = "import os, sys; print(sys.argv[1], os.getppid() > 0)"
    print(subprocess.check_output([sys.executable, "-c", inner, "inner"]))
    nested = "import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', 'print(6 * 7)']))"
    print(subprocess.check_output([sys.executable, "-c", nested]))
    print(subprocess.run("exit 5", shell=True).returncode)
    print(subprocess.run("kill -9 $$", shell=True).returncode)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        print(len(cat.communicate(b"x" * 1_000_000)[0]))
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        sleeper.send_signal(signal.SIGTERM)
    print(sleeper.returncode)

    data = [1]
    pid = os.fork()
    if pid == 0:
        data.append(2)
        os._exit(len(data))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), data)

    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        for part in range(100):
            os.write(writer, bytes([part]) * 10_000)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        print(sum(pipe.read()))
    os.waitpid(pid, 0)

    ticks = []
    stop = threading.Event()
    ticker = threading.Thread(
        target=lambda: [ticks.append(1) for _ in iter(lambda: stop.wait(0.001), True)]
    )
    ticker.start()
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            os._exit(threading.active_count())
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), end=" ")
    print()
    time.sleep(0.02)
    stop.set()
    ticker.join()
    print(len(ticks) > 0)

    try:
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        worker = context.Process(target=lambda: sender.send(sum(map(square, range(100)))))
        worker.start()
        print(receiver.recv())
        worker.join()
        print(worker.exitcode)
    except OSError as error:
        print("multiprocessing", error)


if __name__ == "__main__":
    main()
