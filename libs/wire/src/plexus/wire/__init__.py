"""The wire between servers: X-Matrix, discovery, remote keys."""
