"""What people see: screens while a search runs, pages about a study, figures. Reads studies, changes nothing."""
