"""The page of `siren-jax demo`: limits, generation, layout, server."""
