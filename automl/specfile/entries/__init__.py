"""Parts of the grammar of `space.yaml` that stand for themselves: parameters, earlier studies."""
