"""The one loop between a study and an executor: who gets which trial, who is late, when to stop."""
