"""After the search: the best trials on fresh seeds, the winner by their mean, one evaluation on the test set."""
