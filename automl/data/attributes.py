"""What is known of how a table was read is kept in its `attrs`, and shared by all tables and columns taken from it.

pandas copies `attrs` deeply whenever a column is taken from a table, which makes a table of 600 columns take minutes.
"""

from typing import Any

import pandas as pd

from automl.data.cells.readings import ATTRIBUTE


class Shared(dict[str, Any]):
    """A dict that a copy of what it is in does not copy. It must not be changed."""

    def __deepcopy__(self, memo: object) -> "Shared":
        return self


def shared(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table, what is known of how it was read no longer copied."""
    if ATTRIBUTE in frame.attrs:
        frame.attrs = {**frame.attrs, ATTRIBUTE: Shared(frame.attrs[ATTRIBUTE])}
    return frame
