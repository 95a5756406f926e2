"""The pages of the reference, by the names of their files."""

from pathlib import Path

from occlum_build.loading.workspace import tool_repository
from occlum_build.reference.commands import commands_page
from occlum_build.reference.diagnostics import diagnostics_page
from occlum_build.reference.occlum_yaml import occlum_yaml_page
from occlum_build.reference.policy import policy_page
from occlum_build.reference.rules import rules_page

_PACKAGE = Path(__file__).parents[1]


def pages() -> dict[str, str]:
    """The text of every page."""
    root = tool_repository(_PACKAGE)
    return {
        "commands.md": commands_page(root),
        "diagnostics.md": diagnostics_page(root),
        "occlum-yaml.md": occlum_yaml_page(),
        "policy.md": policy_page(),
        "rules.md": rules_page(root),
    }
