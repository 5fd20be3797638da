"""What a sync answer is made of, one module a stream: each adds its own part to an `Answer`."""
