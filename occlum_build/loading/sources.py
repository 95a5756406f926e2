"""The files that loading reads: each once, and remembered, as they are inputs of the build."""

import os
import stat
from pathlib import Path
from typing import Final

from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error, near
from occlum_build.label import Label
from occlum_build.loading.workspace import BUILD_FILE, Workspace

_BYTE_ORDER_MARK: Final = "\ufeff"


class Sources:
    """Reads texts by label, and knows afterwards what was read.

    `files` and `directories` are everything whose change can change what loading finds,
    with what a stat said of each just before it was read (None: it was not there).
    """

    def __init__(self, workspace: Workspace) -> None:
        """Read in `workspace`."""
        self.workspace = workspace
        self.files: dict[Path, os.stat_result | None] = {}
        self.directories: dict[Path, os.stat_result | None] = {}
        self._texts: dict[Label, tuple[str, str]] = {}
        self._shown: dict[str, str] = {}
        self._real_directories: dict[Path, Path] = {}

    def text(self, label: Label, span: Span | None = None) -> tuple[str, str]:
        """The text of the file `label`, and its name in messages.

        Raises:
            DiagnosticError: at `span`, if there is no such file.
        """
        if label not in self._texts:
            path = self.workspace.path(label)
            shown = self.workspace.shown(path)
            self.note(path)
            try:
                # A pipe would be waited for, and a device may have no end.
                if not path.is_file():
                    raise DiagnosticError(self.missing(label, span))
                text = path.read_text(encoding="utf-8")
            except PermissionError as problem:
                message = f"`{label}` cannot be read"
                raise DiagnosticError(
                    error("OB0120", message, span, notes=(f"{problem.strerror}",))
                ) from None
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise DiagnosticError(self.missing(label, span)) from None
            except UnicodeDecodeError as problem:
                before = problem.object[: problem.start].decode("utf-8").split("\n")
                at = Span(shown, len(before), len(before[-1]) + 1)
                message = f"`{shown}` is no UTF-8 text"
                raise DiagnosticError(error("OB0120", message, at)) from None
            self._texts[label] = (text, shown)
            self._shown[shown] = text
        return self._texts[label]

    def code(self, label: Label, span: Span | None = None) -> tuple[str, str]:
        """The same of a file that will be evaluated.

        Raises:
            DiagnosticError: there is no such file, or a mark stands before its first word.
        """
        text, shown = self.text(label, span)
        if text.startswith(_BYTE_ORDER_MARK):
            message = f"`{shown}` begins with a byte order mark (U+FEFF)"
            helps = (
                "save it as UTF-8 without the mark, which editors also call `BOM` or `signature`",
            )
            raise DiagnosticError(error("OB0120", message, Span(shown, 1, 1, 2), helps=helps))
        return text, shown

    def text_of_shown(self, file: str) -> str | None:
        """The text of a file by its name in messages, if it can be read."""
        if file not in self._shown:
            path = Path(os.path.normpath(self.workspace.root / file))
            if file.startswith("@"):
                path = self.workspace.tool_root / file.partition("/")[2]
            try:
                self._shown[file] = path.read_text(encoding="utf-8", errors="replace")
            except (OSError, ValueError):
                return None
        return self._shown[file]

    def note(self, path: Path) -> None:
        """Remember what a stat says of `path`, which is about to be read."""
        if path not in self.files:
            self.files[path] = _stat(path)

    def note_directory(self, path: Path) -> None:
        """The same for a directory that is about to be listed."""
        if path not in self.directories:
            self.directories[path] = _stat(path)

    def has_package(self, label: Label) -> bool:
        """Whether the label's package has a BUILD file."""
        path = self.workspace.package_directory(label) / BUILD_FILE
        self.note(path)
        return path.is_file()

    def is_file(self, label: Label) -> bool:
        """Whether the label names a file or a link to one, in no package below its own."""
        path = self.workspace.path(label)
        if not path.is_file():
            return False
        below = path.parent
        top = self.workspace.package_directory(label)
        while below != top:
            if (below / BUILD_FILE).is_file():
                return False
            below = below.parent
        return True

    def check_inside(self, label: Label, span: Span | None) -> None:
        """Refuse a source file that is a link to somewhere outside its repository.

        Raises:
            DiagnosticError: it is.
        """
        path = self.workspace.path(label)
        real = self._real(path)
        root = self.workspace.repository_root(label)
        if not real.is_relative_to(root):
            raise DiagnosticError(
                error(
                    "OB0119",
                    f"`{label}` is a symbolic link out of the workspace",
                    span,
                    notes=(f"it leads to `{real}`, which is no input that others have",),
                    helps=("copy the file into the workspace",),
                )
            )

    def _real(self, path: Path) -> Path:
        """Where `path` leads to; each directory is followed once."""
        if path.is_symlink():
            return Path(os.path.realpath(path))
        directory = path.parent
        if directory not in self._real_directories:
            self._real_directories[directory] = Path(os.path.realpath(directory))
        return self._real_directories[directory] / path.name

    def missing(self, label: Label, span: Span | None) -> Diagnostic:
        """The diagnostic for a file that is not there, with a near name."""
        path = self.workspace.path(label)
        directory = path.parent
        what = _instead_of_a_file(path)
        if what:
            message = f"`{label}` is no file"
            return error(
                "OB0120", message, span, notes=(f"`{self.workspace.shown(path)}` {what}",)
            )
        try:
            names = sorted(one.name for one in directory.iterdir() if one.is_file())
        except OSError:
            names = []
        guess = near(label.name.rpartition("/")[2], names)
        folder = label.name.rpartition("/")[0]
        helps: tuple[str, ...] = ()
        if path.is_dir():
            helps = (f'it is a directory: `glob(["{label.name}/**"])` is the files in it',)
        elif guess:
            helps = (f"a file `{label.sibling(f'{folder}/{guess}' if folder else guess)}` exists",)
        return error("OB0120", f"no file `{label}`", span, helps=helps)


def _instead_of_a_file(path: Path) -> str:
    """What there is at a path that should be a file's; nothing if there is nothing."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    if stat.S_ISLNK(mode) and not path.exists():
        return f"is a symbolic link that leads nowhere: to `{path.readlink()}`"
    if stat.S_ISLNK(mode) and not path.is_file() and not path.is_dir():
        return f"is a symbolic link to a pipe, a socket or a device: `{path.readlink()}`"
    if stat.S_ISLNK(mode) or stat.S_ISDIR(mode) or stat.S_ISREG(mode):
        return ""
    return "is a pipe, a socket or a device"


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
