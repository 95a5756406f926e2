"""Labels: the names of targets and source files."""

import re
from dataclasses import dataclass
from typing import Any, Final, Self

_REPOSITORY: Final = re.compile(r"[a-z][a-z0-9_]*")
_PACKAGE_PART: Final = re.compile(
    r"[A-Za-z0-9_.+=,@~!#$%^&()\[\]{}'\u0080-\U0010ffff-]"
    r"[A-Za-z0-9_ .+=,@~!#$%^&()\[\]{}'\u0080-\U0010ffff-]*"
)
_NAME: Final = re.compile(r"[A-Za-z0-9_./+=,@~!#$%^&()\[\]{}' \u0080-\U0010ffff-]+")


_MAX_PART_BYTES: Final = 255
"""NAME_MAX of Linux."""
_MAX_PATH_BYTES: Final = 2048
"""Half of PATH_MAX: the other half is for where the workspace lies, and for what is made."""


class BadLabelError(ValueError):
    """A text that is no label; the message says which part is wrong."""


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """The one name a target has, however its dependents spelled it.

    Short forms (`:name`, `//pkg`, `name`) exist only in BUILD files; `parse`
    resolves them, so two equal labels always mean the same target or file; `@//` is the workspace.
    `repository` is empty for the workspace that is built; `occlum` is what ships
    with the tool. A label is no path and does not promise that its target exists.
    """

    repository: str
    package: str
    name: str

    @classmethod
    def parse(cls, text: str, *, package: str = "", repository: str = "") -> Self:
        """The label that `text` means inside `package` of `repository`.

        Raises:
            BadLabelError: the text is no label.
        """
        if not text:
            raise BadLabelError("a label is not empty")
        rest = text
        if text.startswith("@"):
            repository, slashes, rest = text[1:].partition("//")
            if not slashes or (repository and not _REPOSITORY.fullmatch(repository)):
                raise BadLabelError(f"`{text}` has no repository of the form `@name//`")
            rest = f"//{rest}"
        if rest.startswith("//"):
            package, colon, name = rest[2:].partition(":")
            if not colon:
                name = package.rpartition("/")[2]
        else:
            name = rest.removeprefix(":")
        if is_too_long(f"{package}/{name}"):
            raise BadLabelError(f"`{_start(text)}` is longer than a path can be")
        _check_package(text, package)
        _check_name(text, name)
        return cls(repository, package, name)

    def __str__(self) -> str:
        """`//package:name`, with `@repository` before it if it is not the workspace."""
        at = f"@{self.repository}" if self.repository else ""
        return f"{at}//{self.package}:{self.name}"

    def sibling(self, name: str) -> Self:
        """The label of `name` in the same package."""
        return type(self)(self.repository, self.package, name)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Let a pydantic model hold labels; a text is resolved in the BUILD file's package."""
        from pydantic_core import core_schema

        return core_schema.with_info_plain_validator_function(
            _validate, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, str]:
        """In a JSON schema a label is a string."""
        return {"type": "string", "format": "label"}


def is_too_long(path: str) -> bool:
    """Whether no file could have this path below the top of a workspace."""
    text = path.encode(errors="surrogateescape")
    parts = text.split(b"/")
    return len(text) > _MAX_PATH_BYTES or any(len(one) > _MAX_PART_BYTES for one in parts)


def _start(text: str, characters: int = 40) -> str:
    """As much of a long text as says which one it is."""
    return text if len(text) <= characters else f"{text[:characters]}…"


def _validate(value: object, info: Any) -> Label:
    context = info.context or {}
    if isinstance(value, str):
        value = Label.parse(
            value, package=context.get("package", ""), repository=context.get("repository", "")
        )
    if not isinstance(value, Label):
        raise ValueError("a label is a string")  # noqa: TRY004  # pydantic reports ValueError only
    canonical = context.get("canonical")
    return canonical(value) if canonical is not None else value


def _check_package(text: str, package: str) -> None:
    if not package:
        return
    for part in package.split("/"):
        is_clean = part.isprintable() and _PACKAGE_PART.fullmatch(part)
        if set(part) <= {"."} or not is_clean:
            raise BadLabelError(f"`{text}` has a bad package name `{package}`")


def _check_name(text: str, name: str) -> None:
    odd = next((one for one in name if not _NAME.fullmatch(one) or not one.isprintable()), "")
    if not name or odd or "%{" in name:
        why = f": `{odd}` cannot be in a name" if odd else ""
        raise BadLabelError(f"`{text}` has a bad target name `{name}`{why}")
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise BadLabelError(f"`{text}` has a target name that is no clean relative path")
