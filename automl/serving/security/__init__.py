"""Who may ask: keys, rates, the gate that every request passes, and the audit log."""
