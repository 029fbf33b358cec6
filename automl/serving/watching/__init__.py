"""What is known of a running server: counts, drift, feedback, and the pages that show them."""
