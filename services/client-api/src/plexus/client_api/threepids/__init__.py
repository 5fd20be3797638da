"""Email addresses: validated by a link that is sent to them, added to accounts, used to get back in.

Plexus sends the emails itself, over SMTP. No identity server is asked: nothing is bound to one, so there is
nothing to unbind, and phone numbers are not supported.
"""
