"""Accounts and sessions: register, log in and out, change the password, close the account."""
