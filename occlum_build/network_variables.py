"""Where a machine says how it reaches the network: its proxies, certificates, mirrors, passwords.

Whatever fetches gets them, and nothing else does: what is fetched is checked by its digest.
"""

from collections.abc import Mapping
from typing import Final

_NAMES: Final = frozenset(
    {
        "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
        "all_proxy", "https_proxy", "http_proxy", "no_proxy",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
        "NETRC", "APT_CONFIG", "CARGO_HOME",
    }
)  # fmt: skip
_PREFIXES: Final = ("PIP_", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_")


def network_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Those of `environment` that say how this machine reaches the network."""
    return {
        name: value
        for name, value in environment.items()
        if name in _NAMES or name.startswith(_PREFIXES)
    }
