"""Commands that begin, stop, change, repair or import a study."""
