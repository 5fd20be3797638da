"""Thread subscriptions: which threads a user follows. MSC4306 and MSC4308."""
