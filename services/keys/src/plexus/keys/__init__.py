"""Keys: those of devices, and those that this server signs with.

- ``device_keys``: a client uploads its device's identity, one-time and fallback keys, asks for those of
  others, and claims one-time keys to begin a session. Everything is checked here and kept by `plexus.users`.
- ``server_keys``: the document with this server's signing keys, by which other servers check what it has
  signed.
- ``backup``: nobody has a key backup yet, and that is what it says.

Cross-signing, key backup, to-device messages, the notary and the federation side are endpoints of this
service that are not built yet: they answer ``M_UNRECOGNIZED``.
"""
