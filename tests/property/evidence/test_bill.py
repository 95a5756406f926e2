"""Bills of materials of any image: nothing in it is left out, nothing is made up."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from occlum_build.evidence.check import check_evidence
from occlum_build.fs.content import BytesContent
from occlum_build.fs.tree import Node, Tree, regular_file, symlink
from tests.support.evidence_samples import Sample

_NAMES = st.text(
    st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))
_ORIGINS = st.none() | st.fixed_dictionaries(
    {"label": st.sampled_from(["//a:b", "//c"])}, optional={"file": st.sampled_from(["x", "ü"])}
)


@st.composite
def _nodes(draw: st.DrawFn) -> Node:
    if draw(st.booleans()):
        return symlink(b"target", "test")
    content = BytesContent(draw(st.binary(max_size=40)))
    return regular_file(0o644, content, "test", draw(_ORIGINS))


@settings(max_examples=40)
@given(st.dictionaries(_NAMES, _nodes(), min_size=1, max_size=6))
def test_every_file_of_an_image_is_in_its_bill(nodes: dict[str, Node]) -> None:
    tree = Tree((name.encode(), node) for name, node in nodes.items())
    old = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            bundle = Sample(Path(folder), tree=tree).write().bundle()
            document = (bundle / "sbom.cdx.json").read_text()
            findings = {one.name: one for one in check_evidence(bundle)}
        finally:
            os.chdir(old)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None
    found = next(
        one for one in json.loads(document)["components"] if one["bom-ref"] == "images/root.erofs"
    )
    expected = {
        f"/{name}": hashlib.sha256(node.content.read(0, node.size)).hexdigest()
        if node.content is not None
        else None
        for name, node in nodes.items()
    }
    listed = {
        one["name"]: one["hashes"][0]["content"] if "hashes" in one else None
        for one in found["components"]
    }
    assert listed == expected
    assert findings["bill of materials"].has_passed, findings["bill of materials"].detail
