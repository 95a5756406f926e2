"""Lineages: how artifacts are made, from sources and tools by digest to the artifacts.

What a lineage says depends on nothing but the actions: two machines that make the same
artifacts from the same sources with the same tools write the same bytes.
"""

import hashlib
import json
from typing import Final

from occlum_build.action import Action
from occlum_build.analysis.analysis import Analysis
from occlum_build.artifact import Artifact
from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.execution.layout import Layout
from occlum_build.execution.source_digests import SourceDigests
from occlum_build.execution.tools import PlacedTool, Tools

VERSION: Final = 1


class Lineage:
    """Answers for one run: each lineage is worked out once."""

    def __init__(
        self, analysis: Analysis, layout: Layout, digests: SourceDigests, tools: Tools
    ) -> None:
        """Look actions up in `analysis`, sources in `digests`, and tools in `tools`."""
        self._maker = analysis.outputs.maker
        self._layout = layout
        self._digests = digests
        self._tools = tools
        self._actions: dict[tuple[Artifact, ...], list[Action]] = {}
        self._texts: dict[tuple[Artifact, ...], str] = {}

    def made(self, action: Action) -> tuple[Artifact, ...]:
        """All that is made on the way to what the lineage is of, the end included."""
        return tuple(output for one in self._ancestors(action) for output in one.outputs)

    def text(self, action: Action) -> str:
        """All that is known before the build, as JSON.

        Raises:
            DiagnosticError: a source or a tool is missing.
        """
        wanted = action.lineage_of
        if wanted not in self._texts:
            self._texts[wanted] = self._text(action)
        return self._texts[wanted]

    def _text(self, action: Action) -> str:
        actions = self._ancestors(action)
        inputs = {one.path: one for ancestor in actions for one in ancestor.inputs}
        sources = [one for _, one in sorted(inputs.items()) if self._maker(one) is None]
        sources += [one for one in action.lineage_of if self._maker(one) is None]
        tools = {self._tools.place(tool) for ancestor in actions for tool in ancestor.tools}
        document = {
            "version": VERSION,
            "configuration": self._layout.configuration.name,
            "of": [one.path for one in action.lineage_of],
            "sources": [self._source(one) for one in sources],
            "tools": [_tool(one) for one in sorted(tools, key=_order)],
            "actions": [self._described(one) for one in actions],
        }
        return json.dumps(document, sort_keys=True)

    def _ancestors(self, action: Action) -> list[Action]:
        """The actions on the way, by the path of their first output."""
        wanted = action.lineage_of
        if wanted not in self._actions:
            found: dict[str, Action] = {}
            waiting = list(wanted)
            while waiting:
                maker = self._maker(waiting.pop())
                if maker is None or maker.outputs[0].path in found:
                    continue
                found[maker.outputs[0].path] = maker
                waiting += maker.inputs
            self._actions[wanted] = [one for _, one in sorted(found.items())]
        return self._actions[wanted]

    def _source(self, artifact: Artifact) -> dict[str, object]:
        path = self._layout.root / self._layout.source_place(artifact)
        try:
            mode, digest, *link = self._digests.line(path).split(" ", 2)
        except OSError as problem:
            message = f"the source `{artifact.path}` cannot be read"
            why = problem.strerror or str(problem)
            raise DiagnosticError(error("OB0408", message, notes=(why,))) from None
        found: dict[str, object] = {
            "path": artifact.path,
            "label": str(artifact.owner),
            "sha256": digest,
            "is_executable": mode == "x",
        }
        return found | ({"link": link[0].removeprefix("-> ")} if link else {})

    def _described(self, action: Action) -> dict[str, object]:
        found: dict[str, object] = {
            "owner": str(action.owner),
            "mnemonic": action.mnemonic,
            "argv": list(action.argv),
            "env": dict(action.env),
            "inputs": [one.path for one in action.inputs],
            "outputs": [one.path for one in action.outputs],
            "tools": sorted(self._tools.place(one).name for one in action.tools),
            "network": action.network,
        }
        if action.text is not None:
            found["text_sha256"] = hashlib.sha256(action.text.encode()).hexdigest()
        return found


def _order(tool: PlacedTool) -> tuple[str, str]:
    return tool.name, tool.digest or ""


def _tool(tool: PlacedTool) -> dict[str, object]:
    found: dict[str, object] = {"name": tool.name, "version": tool.version}
    return found | ({"sha256": tool.digest} if tool.digest is not None else {})
