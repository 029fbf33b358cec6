"""How many requests are answered at once: batches, the bounded queue, and limits of rate."""
