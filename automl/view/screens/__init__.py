"""Screens: what a terminal or a log shows while a search runs and when it ends. `choose.screen` picks one.

Screens read a study and never change it. The live screen is a pure function (`render`) of plain data (`snapshot`).
"""
