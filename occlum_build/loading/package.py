"""What loading hands on: packages, and targets whose attributes are checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from occlum_build.attribute import Attrs, LabelUse
from occlum_build.diagnostic import Span
from occlum_build.label import Label
from occlum_build.loading.source_map import CallSite, Location
from occlum_build.rule import Rule


@dataclass(frozen=True)
class RuleClass:
    """A rule and the name and file that it was loaded by."""

    name: str
    file: Label
    rule: Rule[Any]


@dataclass(frozen=True)
class TargetCall:
    """One call of a rule, as the BUILD file made it: nothing is checked yet."""

    label: Label
    rule_class: RuleClass
    attributes: Mapping[str, Any]
    site: CallSite
    callers: tuple[Span, ...] = ()
    """Where the macros around the call were called, innermost first."""

    @property
    def span(self) -> Span:
        """Where a reader of BUILD files sees the target: the outermost call."""
        return self.callers[-1] if self.callers else self.site.span

    @property
    def made_by(self) -> tuple[str, ...]:
        """For a problem in the call: which macros it lies in, and where they were called."""
        return tuple(f"made by a macro that is called at {span}" for span in self.callers)


@dataclass(frozen=True)
class Target:
    """A target with attributes that its rule accepts. Its labels may still name nothing."""

    label: Label
    rule_class: RuleClass
    attrs: Attrs
    uses: tuple[LabelUse, ...]
    call: TargetCall

    @property
    def span(self) -> Span:
        """Where its rule is called."""
        return self.call.site.span

    def value_span(self, location: Location, text: object = None) -> Span:
        """Where an attribute's value stands; where the rule is called if it is not said there."""
        return self.call.site.value(location, text) or self.span


@dataclass
class Package:
    """A BUILD file, evaluated."""

    label: Label
    """The label of the BUILD file."""
    calls: dict[str, TargetCall] = field(default_factory=dict)
    default_visibility: tuple[str, ...] = ("//visibility:private",)
    default_testonly: bool = False
    exported: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Source files that other packages may name, and who may."""
