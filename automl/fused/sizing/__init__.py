"""Whether a model may be fused, and how many lanes are worth it: probes, timing, growth, what was measured before."""
