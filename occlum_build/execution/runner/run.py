"""One action: skip it if its content key says so, else run it and move its outputs in place."""

import errno
import hashlib
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Final

from occlum_build.execution.files import (
    identity_of,
    is_executable,
    make_parents,
    remove,
    write_atomically,
    write_if_different,
)
from occlum_build.execution.record import Made, Record, current_digest
from occlum_build.execution.runner.process import (
    TIMED_OUT,
    Command,
    Interrupted,
    catch_signals,
    run,
)
from occlum_build.execution.runner.sandbox import Sandbox, UndeclaredError, normalize
from occlum_build.execution.spec import EVENTS_VARIABLE, EXEC_ROOT, Spec, SpecInput
from occlum_build.network_variables import network_variables

_INTERRUPTED: Final = 130
_FULL_BYTES: Final = 64 << 10
"""With less than this left, a failure is taken to come from the full disk."""
_KEPT_FOR_NETWORK: Final = ("HOME", "PATH", "XDG_CONFIG_HOME")
"""Beside what says how the network is reached: where programs look for their settings of it."""


class ActionError(Exception):
    """The action failed; the message says how, the log holds what the command said."""


def main(arguments: Sequence[str]) -> int:
    """Run the action of a spec; the exit status for ninja."""
    keep = "--keep" in arguments
    path = next(one for one in arguments if one != "--keep")
    with open(path, "rb") as file:
        spec = Spec.from_json(file.read())
    catch_signals()
    runner = _Runner(spec, keep=keep)
    try:
        return runner.run()
    except Interrupted:
        return _INTERRUPTED


class _Runner:
    """One run of one spec."""

    def __init__(self, spec: Spec, *, keep: bool) -> None:
        self.spec = spec
        self.keep = keep

    def run(self) -> int:
        spec = self.spec
        self._tell("start")
        try:
            key = self._key()
            record = Record.read(self._path(spec.record))
            if (
                record is not None
                and record.key == key
                and not self.keep
                and record.is_intact(spec.workspace)
            ):
                self._mark_nodes(record)
                self._tell("unchanged")
                return 0
            started = time.monotonic()
            remove(self._path(spec.record))
            made = self._execute()
            Record(key, made).write(self._path(spec.record))
        except ActionError as problem:
            return self._failed(str(problem))
        except UndeclaredError as problem:
            return self._failed(f"the input `{problem}` does not exist")
        except OSError as problem:
            if problem.errno in {errno.ENOSPC, errno.EDQUOT}:
                return self._failed("no space left on the device", "full")
            return self._failed(f"{problem.strerror or problem}: {problem.filename or ''}")
        except Exception as problem:  # noqa: BLE001  # the driver must not take it for ninja's own failure
            write_atomically(self._path(spec.log), traceback.format_exc().encode())
            return self._failed(f"its runner failed: {type(problem).__name__}: {problem}")
        self._tell("done", milliseconds=int((time.monotonic() - started) * 1000))
        return 0

    def _key(self) -> str:
        """SHA-256 over the stamp (all that is known before a build) and what others made."""
        digest = hashlib.sha256()
        with open(self._path(self.spec.stamp), "rb") as file:
            digest.update(file.read())
        records: dict[str, Record | None] = {}
        for one in self.spec.inputs:
            if one.record is None:
                continue
            if one.record not in records:
                records[one.record] = Record.read(self._path(one.record))
            digest.update(self._made_line(one, records[one.record]).encode())
        return digest.hexdigest()

    def _made_line(self, one: SpecInput, record: Record | None) -> str:
        known = record.outputs.get(one.path) if record is not None else None
        path = self._path(one.path)
        content = current_digest(path, known)
        if content is None:
            raise UndeclaredError(one.path)
        mode = "x" if not one.is_directory and is_executable(os.stat(path)) else "-"
        return f"made {one.path} {mode} {content}\n"

    def _execute(self) -> dict[str, Made]:
        spec = self.spec
        log = self._path(spec.log)
        make_parents(log)
        write_atomically(log, b"")
        with Sandbox(spec, keep=self.keep) as sandbox:
            if self.keep:
                sys.stdout.write(f"sandbox: {sandbox.root}\n")
            if spec.is_test:
                self._test(sandbox)
            elif spec.is_lineage:
                self._write(sandbox, self._lineage())
            elif spec.text is not None:
                self._write(sandbox, spec.text)
            else:
                self._command(sandbox)
            return self._collect(sandbox)

    def _lineage(self) -> str:
        """What the plan knew, and the digests of what was made since."""
        document = json.loads(self.spec.text or "{}")
        document["made"] = [
            {"path": one.path, "sha256": self._made_digest(one), "is_directory": one.is_directory}
            for one in self.spec.inputs
        ]
        return json.dumps(document, sort_keys=True, indent=1) + "\n"

    def _made_digest(self, one: SpecInput) -> str:
        record = Record.read(self._path(one.record)) if one.record is not None else None
        known = record.outputs.get(one.path) if record is not None else None
        digest = current_digest(self._path(one.path), known)
        if digest is None:
            raise UndeclaredError(one.path)
        return digest

    def _write(self, sandbox: Sandbox, text: str) -> None:
        path = f"{sandbox.root}/{self.spec.outputs[0].path}"
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.chmod(path, 0o755 if self.spec.is_executable else 0o644)

    def _command(self, sandbox: Sandbox) -> None:
        status = self._status(sandbox)
        if status:
            _check_space(sandbox.root)
        if status == TIMED_OUT:
            raise ActionError(f"the time of {self.spec.timeout_seconds} s is over")
        if status < 0:
            raise ActionError(f"the command was ended by signal {-status}")
        if status:
            raise ActionError(f"the command ended with status {status}")

    def _test(self, sandbox: Sandbox) -> None:
        """A test that fails is a result, not a failure of the build."""
        spec = self.spec
        started = time.monotonic()
        try:
            status = self._status(sandbox)
        except ActionError as problem:
            write_atomically(self._path(spec.log), f"{problem}\n".encode())
            status = 127
        duration = int((time.monotonic() - started) * 1000)
        result = {"status": status, "milliseconds": duration, "timed_out": status == TIMED_OUT}
        path = f"{sandbox.root}/{spec.outputs[0].path}"
        write_atomically(path, json.dumps(result, sort_keys=True).encode())
        if len(spec.outputs) > 1:
            target = f"{sandbox.root}/{spec.outputs[1].path}"
            source = f"{sandbox.root}/{spec.junit}"
            if os.path.isfile(source):
                os.replace(source, target)
            else:
                write_atomically(target, b"")

    def _status(self, sandbox: Sandbox) -> int:
        spec = self.spec
        stdout = f"{sandbox.root}/{spec.stdout}" if spec.stdout else None
        command = Command(
            argv=[one.replace(EXEC_ROOT, sandbox.root) for one in spec.argv],
            env=self._environment(sandbox),
            directory=sandbox.root,
            log=self._path(spec.log),
            stdout=stdout,
            timeout_seconds=spec.timeout_seconds,
            walls=sandbox.walls(),
        )
        try:
            status = run(command)
        except OSError as problem:
            message = f"`{command.argv[0]}` cannot be executed: {problem.strerror}"
            raise ActionError(message) from None
        finally:
            if command.missing_walls:
                self._tell("open", walls=command.missing_walls)
        self._check_inputs(sandbox)
        return status

    def _check_inputs(self, sandbox: Sandbox) -> None:
        """Notice writes to inputs that the sandbox only links to; what made them runs again."""
        changed = sandbox.changed_links()
        for one in changed:
            if one.record is not None:
                remove(self._path(one.record))
        if changed:
            raise ActionError(f"the command changed its input `{changed[0].path}`")

    def _environment(self, sandbox: Sandbox) -> dict[str, str]:
        env = {
            "HOME": sandbox.home,
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "TMPDIR": sandbox.temporary,
            "TZ": "UTC",
        }
        if self.spec.network:
            env |= network_variables(os.environ)
            env |= {name: os.environ[name] for name in _KEPT_FOR_NETWORK if name in os.environ}
        env |= self.spec.env
        return {name: value.replace(EXEC_ROOT, sandbox.root) for name, value in env.items()}

    def _collect(self, sandbox: Sandbox) -> dict[str, Made]:
        """Check that all outputs are there, then move in place those that differ."""
        for output in self.spec.outputs:
            path = f"{sandbox.root}/{output.path}"
            if os.path.islink(path):
                raise ActionError(f"the output `{output.path}` is a symbolic link")
            if not os.path.lexists(path):
                raise ActionError(f"the command did not make its output `{output.path}`")
            if os.path.isdir(path) != output.is_directory:
                kind = "a directory" if output.is_directory else "a file"
                raise ActionError(f"the output `{output.path}` is not {kind}")
            odd = normalize(path)
            if odd is not None:
                name = odd.removeprefix(f"{sandbox.root}/")
                raise ActionError(f"the output `{name}` is neither a file nor a directory")
        made: dict[str, Made] = {}
        for output in self.spec.outputs:
            source, target = f"{sandbox.root}/{output.path}", self._path(output.path)
            digest = current_digest(source) or ""
            if not _is_same(target, digest, source):
                _replace(source, target)
            made[output.path] = Made(digest, identity_of(target) or [])
        self._mark_nodes(Record("", made))
        return made

    def _mark_nodes(self, record: Record) -> None:
        """Ninja sees a directory as a small file that holds its digest."""
        for output in self.spec.outputs:
            if output.node != output.path:
                digest = record.outputs[output.path].digest
                write_if_different(self._path(output.node), f"{digest}\n".encode())

    def _failed(self, message: str, event: str = "failed") -> int:
        self._tell(event, message=message)
        if EVENTS_VARIABLE not in os.environ:
            sys.stderr.write(f"{self.spec.mnemonic} {self.spec.owner}: {message}\n")
            with open(self._path(self.spec.log), "rb") as file:
                sys.stderr.buffer.write(file.read())
        return 1

    def _tell(self, event: str, **facts: object) -> None:
        """Tell the driver what happens, if there is one."""
        number = os.environ.get(EVENTS_VARIABLE)
        if number is None:
            return
        line = json.dumps({"event": event, "id": self.spec.record, **facts})
        try:
            os.write(int(number), line.encode() + b"\n")
        except (OSError, ValueError):
            return  # the driver is gone: nobody listens

    def _path(self, path: str) -> str:
        return f"{self.spec.workspace}/{path}"


def _check_space(directory: str) -> None:
    """A command that fails on a full disk says so in its own words, or not at all.

    Raises:
        OSError: the disk is full.
    """
    disk = os.statvfs(directory)
    if disk.f_bavail * disk.f_frsize < _FULL_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), directory)


def _is_same(target: str, digest: str, source: str) -> bool:
    """Whether `target` already is what `source` is, in content, kind and mode."""
    now = identity_of(target)
    theirs = identity_of(source)
    if now is None or theirs is None or os.path.islink(target):
        return False
    return now[-1] == theirs[-1] and current_digest(target) == digest


def _replace(source: str, target: str) -> None:
    """Move an output in place; a directory that it replaces is set aside first."""
    make_parents(target)
    if os.path.isdir(target) or os.path.isdir(source):
        old = f"{target}.{os.getpid()}.old"
        if os.path.lexists(target):
            os.rename(target, old)
        os.rename(source, target)
        remove(old)
    else:
        os.replace(source, target)
