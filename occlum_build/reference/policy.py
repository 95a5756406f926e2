"""`policy.md`: what a policy of `verify` may demand, and what `verify --json` answers."""

import inspect
from typing import Final

from occlum_build.identity.policy import Policy
from occlum_build.reference.key_type import default_of, type_of
from occlum_build.reference.markdown import block, code, page, table
from occlum_build.reference.occlum_yaml import leaves

_INTRODUCTION: Final = """
`occlum-build verify FILE --policy POLICY.yaml` refuses an enclave that is what it claims to be and
still not good enough. A policy is strict YAML, as [Occlum.yaml](occlum-yaml.md) is: an unknown key
or one that is given twice is an error, because a misspelt demand would demand nothing.
`--mrenclave` and `--mrsigner` take the place of what the policy says.
"""

_EXAMPLE: Final = """
version: 1
mrsigner: [9c98da37c307338520534a5711448530b7af6cfa8efdfba741fd0c88bb5626fa]
product_id: 7
min_version_number: 3
xfrm: [AVX, AVX512]
"""

_JSON: Final = """
## What `verify --json` prints

One object. Its `schema` is `occlum-build/verify/1`; the number goes up when a key changes its
meaning or goes away, and not when one is added.

| key | value |
|---|---|
| `file` | the path as it was given |
| `format` | the layout: `bundle`, `sgxs`, `intel-sdk`, …; null if nothing could be measured |
| `mrenclave` | what was measured, in hexadecimal, or null |
| `mrsigner` | SHA-256 of MODULUS, in hexadecimal, or null |
| `accepted` | true if no check failed, as the exit status 0 |
| `checks` | a list: `name`, `verdict` (`pass`, `warn` or `fail`), `finding`, `why`, `details` |

Names of checks are stable; wording is not.
"""


def policy_page() -> str:
    """The page."""
    rows = (
        (code(key), type_of(field), default_of(field), field.description or "")
        for key, field in leaves(Policy)
    )
    sections = [
        block(_EXAMPLE.strip()),
        "## Keys",
        inspect.getdoc(Policy) or "",
        table(("key", "type", "default", "meaning"), rows),
        _JSON.strip(),
    ]
    return page("Policy", _INTRODUCTION, sections)
