"""Specs: all that the action runner must know of one action, as JSON on disk.

Standard library only: the action runner imports it. A spec holds paths of this
machine; what identifies the action is its stamp.
"""

import json
from dataclasses import asdict, dataclass, field

EVENTS_VARIABLE = "OCCLUM_BUILD_EVENTS"
"""Names the file descriptor that the runner reports to; absent when ninja is run by hand."""
EXEC_ROOT = "%{exec_root}"


@dataclass
class SpecInput:
    """One input: where the action sees it, where it lies, and who recorded its digest."""

    path: str
    place: str
    is_directory: bool = False
    record: str | None = None


@dataclass
class SpecOutput:
    """One output; `node` is the file that stands for it in ninja's graph."""

    path: str
    is_directory: bool
    node: str


@dataclass
class Spec:
    """One action, ready to run. Paths without a slash in front are below `workspace`.

    Of a lineage, `text` is what is known before the build; the runner adds the digests of
    the inputs, and the action sees none of them.
    """

    owner: str
    mnemonic: str
    workspace: str
    stamp: str
    record: str
    log: str
    sandbox: str
    inputs: list[SpecInput]
    outputs: list[SpecOutput]
    argv: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    stdout: str | None = None
    text: str | None = None
    is_lineage: bool = False
    is_executable: bool = False
    visible: list[str] = field(default_factory=list)
    """Where its tools lie: what it sees of this machine, beside the system and its inputs."""
    network: bool = False
    timeout_seconds: int = 0
    is_test: bool = False
    junit: str | None = None
    description: str = ""

    def to_json(self) -> bytes:
        """The spec as text; equal specs give equal text."""
        return json.dumps(asdict(self), sort_keys=True, indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Spec":
        """The spec that `to_json` wrote."""
        values = json.loads(content)
        values["inputs"] = [SpecInput(**one) for one in values["inputs"]]
        values["outputs"] = [SpecOutput(**one) for one in values["outputs"]]
        return cls(**values)
