"""Few rows on a GPU: weights packed for kernels, and the kernels."""
