"""All that a rule file may import, besides the standard library's pure modules.

A rule file is one Python file that is loaded by label, never through `sys.path`:

    load("//tools:greeting.py", "greeting")      # in a BUILD or .bzl file

It may import this module; `typing`, `dataclasses`, `collections`, `enum`, `functools`,
`itertools`, `json`, `operator`, `posixpath`, `re`, `textwrap`, `types`; `Field` (and
validators) of `pydantic`; and other rule files: `from .zig import ZigInfo` (same package),
`from ..tools.zig import ZigInfo` (relative to the workspace),
`from occlum.rules.providers import EnclaveInfo` (the rules that ship with the tool). It does
no I/O: `open`, `eval` and their like do not exist in it.
"""

from typing import Annotated

from pydantic import Field

from occlum_build.action import (
    EXEC_ROOT,
    STORE,
    Action,
    ExternalTool,
    PythonScript,
    PythonTool,
    SigningKey,
    Tool,
)
from occlum_build.artifact import Artifact
from occlum_build.attribute import Attrs, Dep, Source, Validated
from occlum_build.configuration import Configuration
from occlum_build.diagnostic import Diagnostic, DiagnosticError, Severity, Span
from occlum_build.label import Label
from occlum_build.provider import (
    DefaultInfo,
    Provider,
    ReportInfo,
    RunInfo,
    SuiteInfo,
    TestInfo,
)
from occlum_build.rule import Rule, RuleContext

__all__ = [
    "EXEC_ROOT",
    "STORE",
    "Action",
    "Annotated",
    "Artifact",
    "Attrs",
    "Configuration",
    "DefaultInfo",
    "Dep",
    "Diagnostic",
    "DiagnosticError",
    "ExternalTool",
    "Field",
    "Label",
    "Provider",
    "PythonScript",
    "PythonTool",
    "ReportInfo",
    "Rule",
    "RuleContext",
    "RunInfo",
    "Severity",
    "SigningKey",
    "Source",
    "Span",
    "SuiteInfo",
    "TestInfo",
    "Tool",
    "Validated",
]
