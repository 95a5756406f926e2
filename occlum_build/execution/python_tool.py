"""`python -I -B python_tool.py PARENT MODULE COUNT PATH… ARGUMENT…`: run a tool's module.

Actions run this file, not the module itself, so that the tool's own package is found
without being installed and nothing of the caller's environment is on the search path.
"""

import os
import runpy
import sys

_FIXED = 4


def main() -> None:
    """Put the paths on the search path and become the module."""
    parent, module, count = sys.argv[1:_FIXED]
    last = _FIXED + int(count)
    paths = [os.path.abspath(one) for one in sys.argv[_FIXED:last]]  # noqa: PTH100
    sys.path[:] = [*paths, parent, *sys.path]
    sys.argv[:] = [module, *sys.argv[last:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
