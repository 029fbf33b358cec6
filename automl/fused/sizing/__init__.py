"""Whether trials may train together, and how many: probes, timing, the lane-count controller. Nothing trains here."""
