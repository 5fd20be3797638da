"""A server's heap in one piece, so that it can be in huge pages (decision 0053).

Python takes memory for its objects from the system in arenas of a mebibyte. Linux puts each where there is
room, and while a program is loaded that is between one library and the next: two thirds of what a process has
after its start lie in stretches too small or too crooked for a huge page. Arenas that are taken before all
that lie side by side, and what is loaded then goes into them. An arena goes back to the system when nothing
is left in it, so a few small objects stay in each.

It imports nothing: what is imported before has its own arenas already.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_KERNEL = "/sys/kernel/mm/transparent_hugepage"
_BLOCK = 512
"""The largest that Python keeps in arenas, in bytes."""
_HEADER = 33
"""Of a `bytes` object, with the zero at its end."""
_BLOCKS_OF_AN_ARENA = 1_953
"""31 in a pool of 16 KiB, and 63 pools if the arena does not begin where a pool does."""
_KEPT_OF_AN_ARENA = 2

_kept: list[bytes | None] = []


def page_size(kernel: Path | str = _KERNEL) -> int:
    """Of a huge page that the kernel makes for who asks, in bytes; 0 if it makes none."""
    try:
        with open(f"{kernel}/enabled") as enabled, open(f"{kernel}/hpage_pmd_size") as size:
            return 0 if "[never]" in enabled.read() else int(size.read())
    except OSError:
        return 0


def take_at_once(mib: int) -> None:
    """Take so much now, for what this process will make later; nothing where there are no huge pages. What
    it needs beyond comes in single arenas. Takes 1 ms for each MiB.
    """
    if not page_size():
        return
    # Of its full length from the beginning: one that grows would lie between the arenas.
    blocks: list[bytes | None] = [None] * (mib * _BLOCKS_OF_AN_ARENA)
    for at in range(len(blocks)):
        blocks[at] = bytes(_BLOCK - _HEADER)
    _kept.extend(blocks[:: _BLOCKS_OF_AN_ARENA // _KEPT_OF_AN_ARENA])
