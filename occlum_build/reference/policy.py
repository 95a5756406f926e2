"""`policy.md`: what a policy of `verify` may demand, and what verbs answer as JSON."""

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
## What `--json` prints

Each verb prints one object. Its `schema` is as `occlum-build/verify/1`; the number goes up when a
key changes its meaning or goes away, and not when one is added. Hashes and bytes are hexadecimal.
Names are stable, wording is not.

`measure`:

| key | value |
|---|---|
| `file`, `files` | the path as it was given, and all files that were read |
| `format` | `bundle`, `sgxs`, `esgxs`, `intel-sdk`, `open-enclave` or `gramine` |
| `mrenclave` | what was measured |
| `claimed_mrenclave` | ENCLAVEHASH of the SIGSTRUCT, or null |
| `claim_is_right` | whether the two are equal, or null |
| `size`, `ssa_frame_pages` | what ECREATE measures |
| `pages` | how many are `measured` and how many `unmeasured` |
| `remarks` | diagnostics that did not prevent measuring |

`inspect` has these, and:

| key | value |
|---|---|
| `layout` | what the layout says beyond that: metadata versions, threads, flags |
| `signature` | every field of the SIGSTRUCT in small letters, or null |
| `memory` | the address range from its start to its end, in rows |
| `sealed_config` | the configuration of an enclave of this project, or null |

In `signature`, `attributes`, `xfrm`, `misc_select` and `cet_attributes` have value and mask as
numbers, and the names of the bits that `must_be_set`, `must_be_clear` or are `left_to_host`; what
can be said without a key is `signature_is_right`, `quotients_are_right` and `wrong_constants`;
`file` and `offset` say where it was. A row of `memory` has `name`, `offset` and `pages`, and
`type`, `permissions` and `measured` (`yes`, `no`, `in part`), null where no page is added.

`verify`:

| key | value |
|---|---|
| `file` | the path as it was given |
| `format` | `bundle`, `sgxs`, `esgxs`, `intel-sdk`, `open-enclave`, `gramine`, or null |
| `mrenclave` | what was measured, or null |
| `mrsigner` | SHA-256 of MODULUS, or null |
| `accepted` | true if no check failed, as the exit status 0 |
| `checks` | a list: `name`, `verdict` (`pass`, `warn` or `fail`), `finding`, `why`, `details` |

`diff`:

| key | value |
|---|---|
| `a`, `b` | `file`, `format`, `mrenclave`, `mrsigner` of each |
| `same` | true if nothing differs, as the exit status 0 |
| `same_measurement`, `signature_alone` | whether it is one enclave, and whether no file differs |
| `causes` | a list: `kind`, `name`, `here`, `there`, `parts` that lie behind it |
| `ecreate` | fields of ECREATE: `path`, `a`, `b` |
| `first` | `record` (`EADD`, `EEXTEND`, `measured`, `end`), `name`, `offset_a`, `offset_b` |
| `regions` | `names`, `start_a`, `start_b`, `pages_a`, `pages_b`, `differences` |
| `config` | settings: `path`, `a`, `b`; one is missing where it is not set |
| `images` | `name`, `root_hash_a`, `root_hash_b`, `problem`, `files` |
| `signature` | fields: `field`, `a`, `b` |
| `files` | other files of two bundles by SHA-256: `path`, `a`, `b` |

A difference of a region has `kind` (`only-in-a`, `only-in-b`, `page-type`, `permissions`,
`measured`, `content`), `offset` from the region's start, `pages`, `changed_pages`,
`changed_bytes`, `what` in words, and the first `places`: `offset_a`, `offset_b`, `field`,
`symbol_a`, `symbol_b`, and the bytes `a` and `b`.

`sign`: `mrenclave`, `is_measured`, `mrsigner`, `isv_prod_id`, `isv_svn`, `date`, `debug` and
`output`.
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
