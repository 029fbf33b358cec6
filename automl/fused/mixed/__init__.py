"""Cohorts of MLPs of different shapes that train in one program. Nothing that other models need lives here."""
