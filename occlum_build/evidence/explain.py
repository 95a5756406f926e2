"""Why two builds made different parts, as far as their provenance can tell."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from occlum_build.evidence.provenance import SOURCE, TOOL

_NONE: Final = "nothing"
_DIGEST_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class Difference:
    """One cause: what differs between two builds, and which parts lie behind it.

    `kind` is `source`, `fetched`, `tool`, `action` (the command itself) or `result`: an
    action made something else from equal inputs, so it is not reproducible.
    """

    kind: str
    name: str
    here: str
    there: str
    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """A sentence for people."""
        way = f", on the way to {', '.join(self.parts)}" if self.parts else ""
        if self.kind == "result":
            return f"`{self.name}` came out differently from equal inputs{way}"
        what = f"{self.kind} `{self.name}`"
        if self.here == _NONE:
            return f"{what} is only in the second build{way}"
        if self.there == _NONE:
            return f"{what} is only in the first build{way}"
        return f"{what} differs: {_short(self.here)} and {_short(self.there)}{way}"


def differences(here: Any, there: Any) -> list[Difference]:
    """The causes that two statements show, in the order in which they matter.

    Sources come first, tools next; a result that differs without any cause comes last.
    Statements that are no provenance of ours have none.
    """
    try:
        one, other = _Build.of(here), _Build.of(there)
    except (AttributeError, KeyError, TypeError, ValueError):
        return []
    found = _changed_inputs(one, other)
    found += _changed_actions(one, other)
    return found + _unstable_results(one, other, {difference.name for difference in found})


@dataclass
class _Build:
    """One statement, by name."""

    inputs: dict[tuple[str, str], str]
    actions: dict[str, Mapping[str, Any]]
    made: dict[str, str]
    parts: dict[str, list[str]] = field(default_factory=dict)
    """The parts of the bundle by what was made for them."""

    @classmethod
    def of(cls, statement: Any) -> "_Build":
        predicate = statement["predicate"]
        definition = predicate["buildDefinition"]
        made = {one["name"]: _identity(one) for one in predicate["runDetails"]["byproducts"]}
        build = cls(
            inputs={_key(one): _identity(one) for one in definition["resolvedDependencies"]},
            actions={
                one["outputs"][0]: one for one in definition["internalParameters"]["actions"]
            },
            made=made,
        )
        digests = {str(one["name"]): _identity(one) for one in statement["subject"]}
        for path, digest in made.items():
            build.parts[path] = sorted(name for name, own in digests.items() if own == digest)
        return build

    def behind(self, names: Iterable[str]) -> tuple[str, ...]:
        """The parts that anything made from `names` (paths or tools) became."""
        reached = set(names)
        size = -1
        while size != len(reached):
            size = len(reached)
            for action in self.actions.values():
                if reached.intersection([*action["inputs"], *action["tools"]]):
                    reached.update(action["outputs"])
        return tuple(sorted({part for one in reached for part in self.parts.get(one, ())}))


def _changed_inputs(one: _Build, other: _Build) -> list[Difference]:
    found = []
    for key in sorted(one.inputs.keys() | other.inputs.keys(), key=_importance):
        here, there = one.inputs.get(key, _NONE), other.inputs.get(key, _NONE)
        if here != there:
            kind, name = key
            parts = one.behind([name]) or other.behind([name])
            found.append(Difference(kind, name, here, there, parts))
    return found


def _changed_actions(one: _Build, other: _Build) -> list[Difference]:
    """Actions that both have, with another command."""
    found = []
    for name in sorted(one.actions.keys() & other.actions.keys()):
        here, there = (_command(build.actions[name]) for build in (one, other))
        if here != there:
            title = f"{one.actions[name]['mnemonic']} of {one.actions[name]['owner']}"
            changed = next(
                (pair for pair in zip(here, there, strict=False) if pair[0] != pair[1]),
                (f"{len(here)} words", f"{len(there)} words"),
            )
            found.append(Difference("action", title, *changed, one.behind([name])))
    return found


def _unstable_results(one: _Build, other: _Build, causes: set[str]) -> list[Difference]:
    """What differs although nothing that it was made from does."""
    found = []
    for name, action in sorted(one.actions.items()):
        twin = other.actions.get(name)
        if twin is None or _command(action) != _command(twin):
            continue
        read = [*action["inputs"], *action["tools"]]
        if causes.intersection(read) or any(one.made.get(at) != other.made.get(at) for at in read):
            continue
        for path in action["outputs"]:
            here, there = one.made.get(path, _NONE), other.made.get(path, _NONE)
            if here != there:
                found.append(Difference("result", path, here, there, one.behind([path])))
    return found


def _command(action: Mapping[str, Any]) -> list[str]:
    """The words of a command, its variables, and the digest of what is merely written."""
    env = sorted(action["env"].items())
    text = [action["text_sha256"]] if "text_sha256" in action else []
    return [*action["argv"], *(f"{name}={value}" for name, value in env), *text]


def _identity(resource: Mapping[str, Any]) -> str:
    """What stands for the content of a resource: its digest, and its version if it has one."""
    digest = next(iter(resource.get("digest", {}).values()), "")
    version = str(resource.get("annotations", {}).get("version", ""))
    return " ".join(part for part in (version, digest) if part)


def _key(resource: Mapping[str, Any]) -> tuple[str, str]:
    return str(resource["annotations"]["kind"]), str(resource["name"])


def _importance(key: tuple[str, str]) -> tuple[int, str]:
    kind, name = key
    return {SOURCE: 0, TOOL: 2}.get(kind, 1), name


def _short(text: str) -> str:
    """Long digests shortened, as people compare them."""
    words = text.split(" ")
    return " ".join(f"{one[:12]}…" if len(one) == _DIGEST_DIGITS else one for one in words)
