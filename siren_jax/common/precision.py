"""Full float32 precision for small products whose errors matter.

Accelerators round the inputs of a "float32" product: GPUs to TF32, TPUs to
bfloat16 (docs/benchmarks.md, What float32 means). `@exact` disables this in a
function, whatever its caller's setting. It has no effect on CPUs.
"""

import jax

exact = jax.default_matmul_precision("highest")
