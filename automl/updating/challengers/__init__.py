"""Challengers: made from new rows in several ways, and compared with the champion, row by row."""
