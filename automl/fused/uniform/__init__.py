"""Cohorts of one shape, of any model: storage, forward and backward pass, update, epoch, recorded steps."""
