"""Winners that answer together: ensembles, the models of several folds, and trees, whose members are made smaller."""
