"""Receipts and read markers: how far somebody has read."""
