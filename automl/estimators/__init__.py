"""A table and a target are enough: `automl.fit`, and estimators with scikit-learn's interface.

Here a table becomes a specification, whose search is an ordinary study. Nothing here trains or ranks.
"""
