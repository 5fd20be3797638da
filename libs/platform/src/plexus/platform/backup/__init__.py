"""Backup and restore: a logical copy of every table, which any PostgreSQL from 15 to 18 can take.

    backup(dsn, Path("monday"), server_name="example.org")        # while the server runs
    restore(Path("monday"), dsn, server_name="example.org")       # while it is stopped

A backup is a folder, or a ``.tar`` of it:

    manifest.json           what is inside, with row counts and SHA-256 of each file, and what is not
    manifest.json.sha256    as ``sha256sum -c`` reads it
    tables/*.copy.gz        the rows of one table each, in the text format of COPY
    files/...               media, signing key and settings, if they were asked for

Steps of a backup: hold all tables against being dropped; take one snapshot; copy table by table; write the
manifest; flush; give the folder its name. What is killed half-way leaves no folder of that name.

Steps of a restore: verify every file; look at the target and refuse what would do harm; migrate it; then, in
one transaction, make the tables anew as they were when the backup was made, load them, and begin a new
generation; at last apply the migrations that are newer than the backup. The target is as before if anything
goes wrong.

A move (`move`) does what a restore does, with the rows read from another database and no file in between.

The text of a backup contains secrets (password hashes, keys), so only its owner may read it.
"""

from plexus.platform.backup.errors import (
    BackupError,
    BrokenBackupError,
    FileInTheWayError,
    NewerBackupError,
    OtherServerError,
    TargetInUseError,
    TargetNotEmptyError,
)
from plexus.platform.backup.files import data_files
from plexus.platform.backup.manifest import Manifest, StoredFile, Table
from plexus.platform.backup.moving import Moved, check_target, move
from plexus.platform.backup.objects import copy_objects
from plexus.platform.backup.progress import Report, Step
from plexus.platform.backup.restoring import Restored, restore
from plexus.platform.backup.saving import backup
from plexus.platform.backup.source import verify

__all__ = [
    "BackupError",
    "BrokenBackupError",
    "FileInTheWayError",
    "Manifest",
    "Moved",
    "NewerBackupError",
    "OtherServerError",
    "Report",
    "Restored",
    "Step",
    "StoredFile",
    "Table",
    "TargetInUseError",
    "TargetNotEmptyError",
    "backup",
    "check_target",
    "copy_objects",
    "data_files",
    "move",
    "restore",
    "verify",
]
