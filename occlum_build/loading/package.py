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
    callers: tuple[CallSite, ...] = ()
    """The calls of the macros around this one, innermost first."""

    @property
    def span(self) -> Span:
        """Where a reader of BUILD files sees the target: the outermost call."""
        return self._outermost.span

    @property
    def _outermost(self) -> CallSite:
        return self.callers[-1] if self.callers else self.site

    def value(self, location: Location, text: object = None) -> Span | None:
        """Where a value is written: followed through macros to those who gave it to them.

        None if the text does not say. `text` is the value, if it may be found by what it says.
        """
        site, here = self._giver(location)
        return site.value(here, text)

    def key(self, location: Location) -> Span | None:
        """Where the key is written that leads to a value of a dictionary."""
        site, here = self._giver(location)
        return site.key(here)

    def notes(self, span: Span) -> tuple[str, ...]:
        """For a problem at `span`: which macros have to do with it."""
        if not self.callers:
            return ()
        if span.file == self._outermost.source.file:
            return (f"a macro hands it on, at {self.site.span}",)
        return tuple(f"made by a macro that is called at {one.span}" for one in self.callers)

    def _giver(self, location: Location) -> tuple[CallSite, Location]:
        site, here = self.site, location
        for caller in self.callers:
            passed = site.parameter(here)
            if passed is None or caller.value(passed[:1]) is None:
                break
            site, here = caller, passed
        return site, here


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
        return self.call.value(location, text) or self.span


@dataclass
class Package:
    """A BUILD file, evaluated."""

    label: Label
    """The label of the BUILD file."""
    is_whole: bool = True
    """Whether the BUILD file was evaluated to its end: else what is missing may be in the rest."""
    calls: dict[str, TargetCall] = field(default_factory=dict)
    default_visibility: tuple[str, ...] = ("//visibility:private",)
    default_testonly: bool = False
    exported: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Source files that other packages may name, and who may."""
