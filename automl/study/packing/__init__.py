"""The state of a trial as bytes and back: what is kept of a training program's values, without ever running code.

`pack` writes, `unpack` reads, `known` finds the classes of the user's own that may be in a state.
"""
