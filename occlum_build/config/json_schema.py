"""The JSON schema of Occlum.yaml, for editors and for other tools.

It is made from the model and says no more than it does; what only `checks` can
see, it does not say.
"""

import json
from typing import Any

from occlum_build.config.schema import OcclumConfig


def render_json_schema() -> str:
    """The schema as text, ending in a newline."""
    schema: dict[str, Any] = OcclumConfig.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Occlum.yaml"
    schema["required"] = ["mount"]
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"
