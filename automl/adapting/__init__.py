"""How a trained network learns from further rows: its last layer alone, or all of it at a low rate.

Knows tensors only: what is done with the result, and whether it is any good, is decided elsewhere.
"""
