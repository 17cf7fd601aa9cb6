"""Products in full float32, where they are small and their errors are not.

Accelerators round what goes into a "float32" product: a GPU to TF32, a TPU to
bfloat16 (docs/benchmarks.md, What float32 means). A function under `@exact`
asks them not to, whatever its caller asks for. On a CPU it changes nothing.
"""

import jax

exact = jax.default_matmul_precision("highest")
