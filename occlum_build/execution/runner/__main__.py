"""`python -I -S …/execution/runner SPEC [--keep]`: run one action."""

import os
import sys

sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))

from occlum_build.execution.runner.run import main  # found by the line above

sys.exit(main(sys.argv[1:]))
