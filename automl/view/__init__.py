"""What people see: screens while a search runs, pages about a study, charts.

This folder reads studies and changes nothing; what the live page in `web` asks for goes through the inbox. It prints
nothing itself except in `screens`.
"""
