"""What is learned from the training rows, and how any row is brought to tensors with it."""
