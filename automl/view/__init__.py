"""What people see: screens while a search runs, pages about a study, charts.

This folder reads studies and changes nothing; it prints nothing itself except in `screens`.
"""
