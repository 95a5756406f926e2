"""Somebody at a pseudo-terminal: a shell with jobs, and the programs that make terminals."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

PATIENCE_S = 30


class Person:
    """A child on a terminal of its own, and what it has shown."""

    def __init__(self, *words: str) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.environ["PS1"] = "PROMPT "
            os.environ["TERM"] = "dumb"
            os.execv(words[0], words)
        self.shown = ""

    def type(self, text: str) -> None:
        """Types these characters."""
        os.write(self.master, text.encode())

    def expect(self, pattern: str) -> None:
        """Waits until this has been shown, and forgets all up to its end."""
        end = time.monotonic() + PATIENCE_S
        while not (match := re.search(pattern, self.shown)):
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                sys.exit(f"no {pattern!r} in {self.shown!r}")
            try:
                self.shown += os.read(self.master, 4096).decode()
            except OSError:
                sys.exit(f"hung up before {pattern!r} in {self.shown!r}")
        self.shown = self.shown[match.end() :]

    def end(self) -> int:
        """Waits until nobody has the terminal any more; how the child ended."""
        try:
            while os.read(self.master, 4096):
                pass
        except OSError:
            pass
        return self.hang_up()

    def hang_up(self) -> int:
        """Closes the terminal; how the child ended then."""
        os.close(self.master)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def names() -> None:
    master, slave = os.openpty()
    name = os.ttyname(slave)
    print(
        "a name",
        name == str(Path(f"/proc/self/fd/{slave}").readlink()),
        name.startswith("/dev/pts/"),
    )
    print("listed", Path(name) in Path("/dev/pts").iterdir())
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 12, 34, 0, 0))
    print("size", os.get_terminal_size(slave))
    out = subprocess.run(["tty"], stdin=slave, capture_output=True, text=True, check=True)
    print("tty", out.stdout == name + "\n")
    print(
        "no tty", subprocess.run(["tty", "-s"], stdin=subprocess.DEVNULL, check=False).returncode
    )
    os.close(master)
    os.close(slave)


def shell() -> None:
    bash = Person("/bin/bash", "--norc", "--noediting", "-i")
    bash.expect("PROMPT ")
    bash.type("echo one $((1 + 1))X\177 three\r")
    bash.expect(r"\r\none 2 three\r\nPROMPT ")
    print("a line was edited")
    bash.type("sleep 100\r")
    bash.expect("sleep 100\r\n")
    time.sleep(0.3)
    bash.type("\x1a")
    bash.expect(r"Stopped +sleep 100\r\n")
    bash.expect("PROMPT ")
    bash.type("jobs; bg; jobs\r")
    bash.expect(r"Stopped +sleep 100\r\n")
    bash.expect(r"\[1\]\+ sleep 100 &\r\n")
    bash.expect(r"Running +sleep 100 &\r\nPROMPT ")
    bash.type("fg\r")
    bash.expect("sleep 100\r\n")
    time.sleep(0.3)
    bash.type("\x03")
    bash.expect("PROMPT ")
    bash.type("echo status=$?\r")
    bash.expect("status=130\r\nPROMPT ")
    print("a job stopped, went on in the background and was interrupted")
    bash.type("cat &\r")
    bash.expect("PROMPT ")
    time.sleep(0.3)
    bash.type("\r")
    bash.expect(r"Stopped +cat\r\n")
    bash.type("fg\r")
    bash.expect(r"cat\r\n")
    bash.type("back\r")
    bash.expect("back\r\nback\r\n")
    bash.type("\x04")
    bash.expect("PROMPT ")
    print("a reader in the background stopped, and read in the foreground")
    bash.type("trap 'echo size $(stty size)' WINCH\r")
    bash.expect("PROMPT ")
    fcntl.ioctl(bash.master, termios.TIOCSWINSZ, struct.pack("4H", 21, 43, 0, 0))
    bash.type("\r")
    bash.expect("size 21 43")
    print("the window changed")
    bash.type("echo through > /dev/tty; stty -echo; echo x; stty echo\r")
    bash.expect("through\r\n")
    bash.expect("x\r\n")
    bash.expect("PROMPT ")
    bash.type("exit 4\r")
    print("it left", bash.end())


def hang_up() -> None:
    bash = Person(
        "/bin/bash", "--norc", "--noediting", "-c", "trap 'exit 5' HUP; echo ready; read"
    )
    bash.expect("ready")
    print("a trap of SIGHUP", bash.hang_up())
    cat = Person("/bin/cat")
    cat.type("x\r")
    cat.expect("x\r\nx\r\n")
    print("death by SIGHUP", cat.hang_up() == -signal.SIGHUP)


def programs() -> None:
    line = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    inner = "test -t 0 && test -t 1 && stty -a | grep -c 'isig icanon'; tty | cut -c 1-9; exit 3"
    done = subprocess.run(
        [sys.executable, "-c", line, "/bin/sh", "-c", inner],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    print("pty.spawn", repr(done.stdout), done.stderr, done.returncode)
    done = subprocess.run(
        ["script", "-qec", inner, "/dev/null"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    print("script", repr(done.stdout), done.stderr, done.returncode)


names()
shell()
hang_up()
programs()
