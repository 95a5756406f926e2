"""`python_script`: a Python program that actions run."""

from collections.abc import Sequence

from occlum_build.api import (
    Annotated,
    Attrs,
    DefaultInfo,
    Field,
    Label,
    Provider,
    PythonScript,
    Rule,
    RuleContext,
    Source,
)

from .providers import ScriptInfo


class PythonScriptAttrs(Attrs):
    """What a `python_script` may say."""

    main: Annotated[Label, Source(".py")] = Field(description="The file that is run.")
    modules: tuple[Annotated[Label, Source(".py")], ...] = Field(
        default=(), description="Files of the same directory that it imports."
    )


def analyze(ctx: RuleContext[PythonScriptAttrs]) -> Sequence[Provider]:
    """Promise the program; it needs the standard library and its modules only."""
    main, modules = ctx.file(ctx.attrs.main), ctx.files(ctx.attrs.modules)
    return [DefaultInfo((main,)), ScriptInfo(PythonScript(main, modules))]


python_script = Rule(attrs=PythonScriptAttrs, analyze=analyze, provides=(DefaultInfo, ScriptInfo))
