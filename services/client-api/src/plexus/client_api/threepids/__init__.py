"""Addresses: validated by a link that is sent to them, added to accounts, used to get back in; and what
identity servers have to do with them.

Plexus sends the emails itself, over SMTP. Identity servers are asked only where a client names one that the
settings trust (``binding``). Phone numbers are not validated here.
"""
