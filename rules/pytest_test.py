"""`pytest_test`: Python tests, run by pytest with the packages of a lock file."""

from collections.abc import Sequence

from occlum_build.api import (
    STORE,
    Annotated,
    Attrs,
    DefaultInfo,
    Field,
    Label,
    Provider,
    Rule,
    RuleContext,
    Source,
    TestInfo,
)

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where the host's own tools are: they may judge what was made, they make nothing."""


class PytestTestAttrs(Attrs):
    """What a `pytest_test` may say."""

    srcs: tuple[Annotated[Label, Source(".py")], ...] = Field(
        description="The files that hold the tests.", min_length=1
    )
    data: tuple[Annotated[Label, Source()], ...] = Field(
        default=(), description="Everything else that the tests import, read or run."
    )
    packages: Annotated[Label, Source()] = Field(
        default=Label.parse("@occlum//:requirements-dev.lock"),
        description="The lock file, with hashes, of pytest and all that the tests import.",
    )
    args: tuple[str, ...] = Field(default=(), description="Further arguments of pytest.")
    env: dict[str, str] = Field(default={}, description="Environment that the tests see.")
    network: bool = Field(default=False, description="Whether the tests need a network.")
    timeout_seconds: int = Field(default=600, description="After how long it has failed.", gt=0)


def analyze(ctx: RuleContext[PytestTestAttrs]) -> Sequence[Provider]:
    """Run pytest on the files, in a directory that holds them and `data`."""
    files = ctx.files(ctx.attrs.srcs)
    data = ctx.files(ctx.attrs.data)
    junit = "junit.xml"
    test = TestInfo(
        argv=(
            ctx.python_tool("pytest", packages=ctx.file(ctx.attrs.packages)),
            *("-q", "-p", "no:cacheprovider", f"--junit-xml={junit}"),
            *ctx.attrs.args,
            *files,
        ),
        inputs=(*files, *data),
        env={"OCCLUM_BUILD_CACHE": STORE, "PATH": _PATH, **ctx.attrs.env},
        timeout_seconds=ctx.attrs.timeout_seconds,
        junit=junit,
        filter_option="-k",
        network=ctx.attrs.network,
    )
    return [DefaultInfo(), test]


pytest_test = Rule(attrs=PytestTestAttrs, analyze=analyze, provides=(DefaultInfo, TestInfo))
