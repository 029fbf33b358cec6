"""The strategies that come with automl, one algorithm a file, found through the entry points `automl.strategies`."""
