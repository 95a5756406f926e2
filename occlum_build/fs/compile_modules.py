"""`python compile_modules.py SOURCES OUTPUT`: bytecode of modules, by whatever Python runs this.

No module of this package: the interpreter of a file tree runs it, so it uses nothing but
what any CPython since 3.8 has. It reads paths from standard input, each ended by a NUL, and
compiles `SOURCES/PATH` as the file `/PATH` into the place below `OUTPUT` where that interpreter
will look. On standard output it says for each what became of it: the place below `OUTPUT`,
or nothing, and then why there is none, or nothing; both ended by a NUL.
"""

import importlib.util
import os
import py_compile
import sys
from pathlib import Path

_ARGUMENTS = 3


def main() -> None:
    """Compile what standard input names."""
    if len(sys.argv) != _ARGUMENTS:
        sys.exit(__doc__)
    sources, output = map(Path, sys.argv[1:])
    for path in map(os.fsdecode, sys.stdin.buffer.read().split(b"\0")[:-1]):
        place = importlib.util.cache_from_source("/" + path, optimization="")[1:]
        why = _compile(sources / path, "/" + path, output / place)
        sys.stdout.buffer.write(os.fsencode(f"{'' if why else place}\0{why}\0"))


def _compile(source: Path, shown: str, output: Path) -> str:
    """Compile one module; why it cannot be compiled, or nothing."""
    # by time and size: the files of an image are of time 0, and one that is written over
    # in a root that can be written is not
    os.utime(source, (0, 0))
    try:
        py_compile.compile(
            str(source),
            str(output),
            shown,
            doraise=True,
            optimize=0,
            invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP,
        )
    except py_compile.PyCompileError as failure:
        value = failure.exc_value
        line = getattr(value, "lineno", None)
        text = str(getattr(value, "msg", None) or value).replace("\0", "\\0")
        return f"line {line}: {text}" if line else text
    return ""


if __name__ == "__main__":
    main()
