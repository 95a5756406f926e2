"""`zig_toolchain`: the C and C++ compiler, the wheel `ziglang`, which is checked by SHA-256."""

from occlum_build.api import Annotated, Dep, Field, Label

from .providers import ScriptInfo, ZigInfo
from .wheel import WheelToolchainAttrs, wheel_toolchain


class ZigToolchainAttrs(WheelToolchainAttrs):
    """What a `zig_toolchain` may say."""

    driver: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:zig_driver"),
        description="The program that unpacks the wheel and runs zig.",
    )


zig_toolchain = wheel_toolchain(ZigToolchainAttrs, ZigInfo, package="ziglang", tool="zig")
