"""Which samples a trial trains on and is measured by: units of training, orders, streams of rows."""
