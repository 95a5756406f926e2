"""Rules: attributes, and the pure function from them to providers and actions."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Generic, NoReturn, TypeVar

from occlum_build.action import (
    Action,
    ExternalTool,
    PythonScript,
    PythonTool,
    SigningKey,
    Signs,
    Tool,
)
from occlum_build.artifact import Artifact
from occlum_build.attribute import Attrs, label_uses
from occlum_build.configuration import Configuration
from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error
from occlum_build.label import Label, is_too_long
from occlum_build.provider import DefaultInfo, Provider, check_timeout, need, need_class

_MNEMONIC: Final = re.compile(r"\w+")
AttrsT = TypeVar("AttrsT", bound=Attrs)
ProviderT = TypeVar("ProviderT", bound=Provider)
Argument = str | Artifact | Tool


@dataclass(frozen=True)
class Rule(Generic[AttrsT]):
    """One kind of target, as a BUILD file can use it after `load(…)`.

    Its name is the variable that holds it in the rule file. `analyze` does no I/O
    and knows no other rule: it sees attributes, and the providers of dependencies.
    `provides` are the providers that it always returns.
    """

    attrs: type[AttrsT]
    analyze: Callable[["RuleContext[AttrsT]"], Sequence[Provider]]
    provides: tuple[type[Provider], ...] = (DefaultInfo,)

    def __post_init__(self) -> None:
        """Refuse what could not be used; the message points into the rule file."""
        need_class("attrs", self.attrs, Attrs)
        if not callable(self.analyze):
            raise TypeError(f"`analyze` is a function, not {self.analyze!r}")
        for one in self.provides:
            need_class("provides", one, Provider)


@dataclass(frozen=True)
class Dependency:
    """What a rule may know of a label that its target names."""

    label: Label
    providers: Mapping[type[Provider], Provider]


@dataclass
class RuleContext(Generic[AttrsT]):
    """All that a rule's `analyze` may see, and the only way to declare what it makes."""

    label: Label
    """The target that is analysed."""
    attrs: AttrsT
    """What its BUILD file says, checked; `select()` is resolved."""
    configuration: Configuration
    """The configuration of this build."""
    span: Span
    """Where the BUILD file calls the rule."""
    output_prefix: str
    """The directory of the package's outputs, relative to where actions run."""
    dependencies: Mapping[Label, Dependency]
    models: Mapping[Label, object] = field(default_factory=lambda: MappingProxyType({}))
    attribute_spans: Callable[[tuple[str | int, ...]], Span | None] = lambda _location: None
    key_spans: Callable[[tuple[str | int, ...]], Span | None] = lambda _location: None
    key_ring: Callable[[str], SigningKey | None] = lambda _name: None
    actions: list[Action] = field(default_factory=list)
    declared: dict[str, Artifact] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)
    """What `report` was told: the target is refused, with all of it, when the rule returns."""

    def files(self, labels: Iterable[Label] | Label | None) -> tuple[Artifact, ...]:
        """The files of `labels`, in order, each once."""
        wanted = () if labels is None else (labels,) if isinstance(labels, Label) else labels
        found: dict[Artifact, None] = {}
        for label in wanted:
            found.update(dict.fromkeys(self.dep(label, DefaultInfo).files))
        return tuple(found)

    def file(self, label: Label) -> Artifact:
        """The only file of `label`; a diagnostic if it has none or several."""
        files = self.files(label)
        if len(files) != 1:
            self.fail(f"`{label}` has {len(files)} files, where exactly one is needed", label)
        return files[0]

    def dep(self, label: Label, provider: type[ProviderT]) -> ProviderT:
        """This provider of a label that the attributes name; a diagnostic if it has none."""
        found = self.find(label, provider)
        if found is None:
            self.fail(f"`{label}` has no `{provider.__name__}`", label)
        return found

    def deps(self, labels: Iterable[Label], provider: type[ProviderT]) -> tuple[ProviderT, ...]:
        """This provider of each label."""
        return tuple(self.dep(label, provider) for label in labels)

    def find(self, label: Label, provider: type[ProviderT]) -> ProviderT | None:
        """This provider of a label, or None if it has no such provider."""
        dependency = self.dependencies.get(label)
        if dependency is None:
            self.fail(f"`{label}` is no label of an attribute", label)
        found = dependency.providers.get(provider)
        return found if isinstance(found, provider) else None

    def providers(self, label: Label) -> tuple[Provider, ...]:
        """Everything that a label promises, for a rule that passes it on."""
        dependency = self.dependencies.get(label)
        if dependency is None:
            self.fail(f"`{label}` is no label of an attribute", label)
        return tuple(dependency.providers.values())

    def validated(self, label: Label) -> Any:
        """The model that the `Validated` marker's check made of the file `label`."""
        if label not in self.models:
            self.fail(f"`{label}` is no source file that was checked", label)
        return self.models[label]

    def key(self, name: str) -> SigningKey:
        """The signing key `name`; a diagnostic if the user named none."""
        found = self.key_ring(name)
        if found is None:
            raise DiagnosticError(
                error(
                    "OB0331",
                    f"no signing key `{name}` was given",
                    self.attribute_spans(("key",)) or self.span,
                    label=f"`{self.label}` signs with it",
                    helps=(f"name its PEM file with `--key {name}=FILE`",),
                )
            )
        return found

    def find_key(self, name: str, *, signs: Signs = "enclaves") -> SigningKey | None:
        """The signing key `name`, or None if the user named none."""
        found = self.key_ring(name)
        return replace(found, signs=signs) if found is not None else None

    def declare_file(self, name: str) -> Artifact:
        """An output of this target in its package's output directory."""
        return self._declare(name, is_directory=False)

    def declare_directory(self, name: str) -> Artifact:
        """An output directory; its members are not known before it is made."""
        return self._declare(name, is_directory=True)

    def run(
        self,
        *,
        mnemonic: str,
        argv: Sequence[Argument],
        outputs: Sequence[Artifact],
        inputs: Iterable[Artifact] = (),
        tools: Iterable[Tool] = (),
        env: Mapping[str, Argument] | None = None,
        network: bool = False,
        secret_keys: Iterable[SigningKey] = (),
        stdout: Artifact | None = None,
        timeout_seconds: int = 0,
        is_cacheable: bool = True,
        description: str = "",
    ) -> None:
        """Declare one command. Artifacts and tools in `argv` and `env` are found by themselves.

        `network` lets it reach the network and the user's files, with the machine's proxy
        and certificate settings; what such an action makes must be verified by digest.
        `stdout` is an output that gets the command's standard output; `outputs` may name it
        too. A timeout of 0 is none.
        """
        inputs, tools = tuple(inputs), tuple(tools)
        need("inputs", inputs, Artifact)
        need("outputs", outputs if stdout is None else (*outputs, stdout), Artifact)
        need("tools", tools, Tool)
        need("env", env or (), str)
        if not argv or not (outputs or stdout):
            raise ValueError("an action has a command and an output")
        if not _MNEMONIC.fullmatch(mnemonic):
            raise ValueError(f"a mnemonic is one word, not {mnemonic!r}")
        check_timeout(timeout_seconds)
        environment = env or {}
        named: list[Argument] = [*argv, *environment.values()]
        made = tuple(dict.fromkeys((*outputs, *(() if stdout is None else (stdout,)))))
        found = [one for one in named if isinstance(one, Artifact) and one not in made]
        all_tools = [*tools, *(one for one in named if isinstance(one, Tool))]
        found += [needed for one in all_tools for needed in one.inputs]
        found += [one.public for one in secret_keys]
        self.actions.append(
            Action(
                owner=self.label,
                mnemonic=mnemonic,
                argv=tuple(argument_word(one) for one in argv),
                inputs=tuple(dict.fromkeys([*inputs, *found])),
                outputs=made,
                tools=tuple(dict.fromkeys(all_tools)),
                env=MappingProxyType(
                    {name: argument_word(one) for name, one in environment.items()}
                ),
                network=network,
                secret_keys=tuple(secret_keys),
                stdout=stdout,
                timeout_seconds=timeout_seconds,
                is_cacheable=is_cacheable,
                description=description,
            )
        )

    def write(self, artifact: Artifact, text: str, *, executable: bool = False) -> None:
        """Declare that `artifact` holds exactly `text`."""
        need("text", (text,), str)
        text.encode()  # a lone surrogate fails here, where the rule's author sees it
        self.actions.append(
            Action(
                owner=self.label,
                mnemonic="Write",
                argv=(),
                inputs=(),
                outputs=(artifact,),
                text=text,
                is_executable=executable,
            )
        )

    def lineage(self, artifact: Artifact, of: Iterable[Artifact]) -> None:
        """Declare that `artifact` says, in JSON, how the artifacts `of` are made.

        It holds each action on the way with its command, the digests of its tools, of the
        sources that it reads and of what it made; no path or clock of this machine.
        """
        wanted = tuple(of)
        need("of", wanted, Artifact)
        self.actions.append(
            Action(
                owner=self.label,
                mnemonic="Lineage",
                argv=(),
                inputs=wanted,
                outputs=(artifact,),
                lineage_of=wanted,
                description=f"writing down how {self.label} is made",
            )
        )

    def python_tool(self, module: str, packages: Artifact | None = None) -> PythonTool:
        """A Python module, for use as the first word of `argv`."""
        return PythonTool(module, packages)

    def fail(
        self,
        message: str,
        at: Label | str | tuple[str | int, ...] | None = None,
        *,
        notes: Iterable[str] = (),
        helps: Iterable[str] = (),
    ) -> NoReturn:
        """Refuse the target here and now, with what was reported before; as `report` otherwise."""
        self.report(message, at, notes=notes, helps=helps)
        raise DiagnosticError(self.problems)

    def report(
        self,
        message: str,
        at: Label | str | tuple[str | int, ...] | None = None,
        *,
        notes: Iterable[str] = (),
        helps: Iterable[str] = (),
    ) -> None:
        """Refuse the target once the rule returns, so that all that is wrong is told at once.

        `at` is what is wrong: a label, an attribute, or the way to a part of an attribute, as in
        `("files", "/bin/x")`; of a dictionary, that is the key.
        """
        problem = error(
            "OB0330",
            message,
            self._span(at) or self.span,
            label=f"in `{self.label}`",
            notes=notes,
            helps=helps,
        )
        self.problems.append(problem)

    def _span(self, at: Label | str | tuple[str | int, ...] | None) -> Span | None:
        if isinstance(at, Label):
            location = next(
                (one.location for one in label_uses(self.attrs) if one.label == at), ()
            )
            return self.attribute_spans(location) if location else None
        if isinstance(at, str):
            return self.attribute_spans((at,))
        return None if at is None else self.key_spans(at) or self.attribute_spans(at)

    def _declare(self, name: str, *, is_directory: bool) -> Artifact:
        if any(part in {"", ".", ".."} for part in name.split("/")):
            self.fail(f"output `{name}` is no clean relative path")
        if not name.isprintable() or "%{" in name:
            self.fail(f"output `{name}` has characters that no path here can have")
        if is_too_long(name):
            self.fail(f"output `{name[:40]}…` has a path that is longer than a file's can be")
        if name in self.declared:
            self.fail(f"output `{name}` is declared twice")
        artifact = Artifact.output(
            f"{self.output_prefix}/{name}", self.label, is_directory=is_directory
        )
        self.declared[name] = artifact
        return artifact


def argument_word(argument: Argument) -> str:
    """The text that stands for an argument in an action's `argv` and `env`."""
    if isinstance(argument, PythonTool | PythonScript):
        return argument.command
    if isinstance(argument, str | Artifact | ExternalTool):
        return str(argument)
    raise TypeError(f"an argument is a string, an artifact or a tool, not {argument!r}")
