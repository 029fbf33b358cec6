"""The referee: automl.judge trains two configs or programs on the same fresh seeds and says which is better."""
