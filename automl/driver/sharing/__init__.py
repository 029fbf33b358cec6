"""Several workers on one device: the rule that decides how many, and what adds them and takes them back."""
