"""Growing boosted trees: the libraries that do it behind one interface, and the trainer of one trial."""
