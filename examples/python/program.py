"""What Python's library needs of an operating system, in one program."""

import asyncio
import hashlib
import mmap
import multiprocessing
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path


def square(number: int) -> int:
    return number * number


def modules() -> None:
    """An interpreter tells with `-v` where the code of each module comes from."""
    run = subprocess.run(
        [sys.executable, "-v", "-c", "import asyncio, sqlite3, ssl"],
        capture_output=True,
        text=True,
        check=True,
    )
    code = [line for line in run.stderr.splitlines() if line.startswith("# code object from ")]
    compiled = [line for line in code if ".pyc" in line]
    print("modules are compiled:", bool(compiled) and compiled == code)


def threads() -> None:
    lock, total = threading.Lock(), 0

    def add(count: int) -> None:
        nonlocal total
        for _ in range(count):
            with lock:
                total += 1

    workers = [threading.Thread(target=add, args=(500,)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with ThreadPoolExecutor(4) as pool:
        print("threads:", total, sum(pool.map(square, range(100))))


def programs() -> None:
    shell = subprocess.run(
        ["/bin/sh", "-c", "cat; exit 4"], input=b"piped", capture_output=True, check=False
    )
    print("subprocess:", shell.returncode, shell.stdout.decode())
    script = "import os; print(os.getppid() > 0)"
    print(
        "python in python:",
        subprocess.check_output([sys.executable, "-c", script]).decode(),
        end="",
    )


def processes() -> None:
    with multiprocessing.Pool(3) as pool:
        print("pool:", pool.map(square, range(10)))
    with ProcessPoolExecutor(2) as executor:
        print("executor:", list(executor.map(square, [5, 6, 7])))
    queue: multiprocessing.Queue[int] = multiprocessing.Queue()
    worker = multiprocessing.Process(target=queue.put, args=(42,))
    worker.start()
    print("queue:", queue.get())
    worker.join()
    print("exit code:", worker.exitcode)
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    print("signalled:", os.WTERMSIG(os.waitpid(pid, 0)[1]))


async def ping(number: int) -> int:
    await asyncio.sleep(0.01)
    return number


async def tasks() -> None:
    print("asyncio:", await asyncio.gather(*(ping(number) for number in range(5))))
    child = await asyncio.create_subprocess_exec(
        "/bin/echo", "async child", stdout=subprocess.PIPE
    )
    output, _ = await child.communicate()
    print("asyncio child:", output.decode().strip(), child.returncode)


def files(folder: Path) -> None:
    path = folder / "mapped"
    path.write_bytes(bytes(8192))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[4090:4100] = b"0123456789"
        mapped.flush()
    print("mmap:", path.read_bytes()[4088:4102])
    database = sqlite3.connect(folder / "squares.db")
    mode = database.execute("pragma journal_mode=wal").fetchone()[0]
    with database:
        database.execute("create table squares (number integer, square integer)")
        rows = ((number, square(number)) for number in range(1000))
        database.executemany("insert into squares values (?, ?)", rows)
    reader = sqlite3.connect(folder / "squares.db")
    print("sqlite:", mode, reader.execute("select sum(square) from squares").fetchone()[0])
    reader.close()
    database.close()


def main() -> None:
    modules()
    threads()
    programs()
    processes()
    asyncio.run(tasks())
    with tempfile.TemporaryDirectory() as folder:
        files(Path(folder))
    print("sha256:", hashlib.sha256(b"abc").hexdigest()[:16])
    ciphers = ssl.create_default_context().get_ciphers()
    print("ssl:", any("CHACHA20" in cipher["name"] for cipher in ciphers))


if __name__ == "__main__":
    main()
