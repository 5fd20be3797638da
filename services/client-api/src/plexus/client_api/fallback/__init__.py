"""Pages for clients that do not know a stage of user-interactive authentication: the user opens one,
completes the stage there, and the client goes on with the session. There is none for email addresses: those
are validated by a link of their own. And a page that logs in, for clients that know no way to.
"""
