"""The page of `siren-jax demo`: limits, what is made, its looks, its server."""
