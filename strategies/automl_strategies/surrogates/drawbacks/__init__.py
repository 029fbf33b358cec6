"""What makes a config worth less than its expected improvement: that it may fail, and the time that it takes."""
