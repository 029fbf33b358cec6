"""Commands that change, repair or import a study."""
