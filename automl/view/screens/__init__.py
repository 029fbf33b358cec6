"""What is shown in a terminal or a log while a search runs and when it ends."""
