"""After the search: the best trials on fresh seeds, the winner by their mean, one evaluation on the test set.

It starts searches of its own for that. Nothing here is needed while the search itself runs.
"""
