"""`test_suite`: one name for several tests."""

from collections.abc import Sequence

from occlum_build.api import (
    Annotated,
    Attrs,
    DefaultInfo,
    Dep,
    Field,
    Label,
    Provider,
    Rule,
    RuleContext,
    SuiteInfo,
)


class TestSuiteAttrs(Attrs):
    """What a `test_suite` may say."""

    tests: tuple[Annotated[Label, Dep()], ...] = Field(
        description="The tests, and suites of tests, that it stands for."
    )


def analyze(ctx: RuleContext[TestSuiteAttrs]) -> Sequence[Provider]:
    """Name the members; a test runs once, however many suites name it."""
    return [DefaultInfo(), SuiteInfo(ctx.attrs.tests)]


test_suite = Rule(attrs=TestSuiteAttrs, analyze=analyze, provides=(DefaultInfo, SuiteInfo))
