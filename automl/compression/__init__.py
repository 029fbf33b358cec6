"""After the search: the winner made smaller and faster, each variant measured, one chosen by the user's limits."""
