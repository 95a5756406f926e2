"""`python -P -s -B python_tool.py PARENT MODULE ARGUMENT…`: run a module as an action's tool.

Actions run this file, not the module itself, so that the tool's own package is found
without being installed and nothing of the caller's environment is on the search path.
"""

import runpy
import sys

_FIXED = 3
_NO_PARENT = "-"


def main() -> None:
    """Put the tool's package on the search path and become the module."""
    parent, module = sys.argv[1:_FIXED]
    if parent != _NO_PARENT:
        sys.path.insert(0, parent)
    sys.argv[:] = [module, *sys.argv[_FIXED:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
