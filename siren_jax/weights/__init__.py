"""Release bundles, published weights of others, and averages of models."""
