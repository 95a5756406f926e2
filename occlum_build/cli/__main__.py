"""`python -m occlum_build.cli`."""

import sys

from occlum_build.cli.entry import main

sys.exit(main())
