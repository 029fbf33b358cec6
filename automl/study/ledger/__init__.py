"""The file that a study rests on: its tables, what they may hold, checksums, the lock of its writer, replay, repair."""
