"""`python -m siren_jax VERB` is `siren-jax VERB`."""

import sys

from siren_jax.cli.main import main

sys.exit(main())
