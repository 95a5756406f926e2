"""`python -m occlum_build.cli`."""

import sys

from occlum_build.cli.start import main

sys.exit(main())
