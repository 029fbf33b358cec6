"""What was decided about the data, for people: columns, target, parts, what is odd, and what a constant guess scores.

Found from prepared data (`find`) and kept as plain data (`facts`). Nothing here changes what is trained; the texts and
tables made of it are in `automl.view.pages.data`.
"""
