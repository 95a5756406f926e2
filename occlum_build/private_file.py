"""Files with private keys and their PINs: who else can read them."""

import stat
from pathlib import Path

from occlum_build.diagnostic import Diagnostic, Span, warning


def readable_by_others(path: Path, what: str = "private key") -> Diagnostic | None:
    """A warning if not only its owner can read a secret; None also if there is no file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if not stat.S_ISREG(mode) or not mode & (stat.S_IRGRP | stat.S_IROTH):
        return None
    others = "everybody" if mode & stat.S_IROTH else "its group"
    return warning(
        "OB0555",
        f"{others} can read this {what}",
        Span(str(path)),
        helps=(f"`chmod 600 {path}` leaves it to its owner",),
    )
