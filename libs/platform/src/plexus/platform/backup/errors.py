"""What stops a backup or a restore. The message is for the person at the terminal.

BackupError
├── BrokenBackupError     a file is missing, cut off or altered; or it is no backup
├── NewerBackupError      made by a newer Plexus than this one
├── OtherServerError      made by a server of another name
├── TargetNotEmptyError   the database holds rows
├── TargetInUseError      a Plexus is connected to the database
└── FileInTheWayError     a file to be written is there already, and differs
"""

from __future__ import annotations


class BackupError(Exception):
    """Nothing was changed."""


class BrokenBackupError(BackupError):
    pass


class NewerBackupError(BackupError):
    pass


class OtherServerError(BackupError):
    pass


class TargetNotEmptyError(BackupError):
    pass


class TargetInUseError(BackupError):
    pass


class FileInTheWayError(BackupError):
    pass
