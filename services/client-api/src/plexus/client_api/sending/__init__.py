"""Sending events: messages, state, redactions."""
