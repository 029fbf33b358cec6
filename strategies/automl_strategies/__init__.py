"""The strategies that come with automl, one method a file, found through the entry points `automl.strategies`.

They import only `automl.core` and `automl.errors`. The methods do not import one another; what they share is in
`surrogates`, and only `auto` and the `wrappers` use other strategies.
"""
