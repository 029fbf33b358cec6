"""Which modules can be replaced by hand-written code: called as torch calls them, with all parameters trained."""

from torch import nn

from automl.models.parts import TableStem


def can_be_rewritten(module: nn.Module) -> bool:
    """Whether code written by hand may stand in for `module`.

    It may not where there are hooks, parametrizations, frozen parameters, or an instance with a forward of its own.
    """
    for child in module.modules():
        if child._forward_hooks or child._forward_pre_hooks or hasattr(child, "parametrizations"):
            return False
        if "forward" in vars(child):
            return False
        if any(not p.requires_grad for p in child.parameters(recurse=False)):
            return False
    return True


def only_flattens(module: nn.Module) -> bool:
    """Whether `module` does nothing but flatten each sample (as a table's stem without embeddings does)."""
    if type(module) is nn.Flatten:
        return (module.start_dim, module.end_dim) == (1, -1)
    return type(module) is TableStem and not len(module.embeddings)
