"""The models that are served: copies of bundles by version, which of them answers, and how."""
