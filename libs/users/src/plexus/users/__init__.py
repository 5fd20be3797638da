"""Accounts, devices, tokens, keys, account data, profiles, inbox."""
