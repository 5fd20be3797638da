"""The room engine: writes, state store, timeline, membership, visibility."""
