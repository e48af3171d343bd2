"""One file of the simulated disk: what is read of it, and what the medium has of it.

Bytes lie in pages that are never changed, only replaced, so that a copy of a file costs
its list of pages and not its bytes; and not even that before one of the two is changed.
"""

from dataclasses import dataclass, field
from typing import Final

PAGE_BYTES: Final = 4096
ZEROS: Final = bytes(PAGE_BYTES)
SECTOR_BYTES: Final = 512
"""What a medium writes at once; a longer write may be torn between two of them."""

Pages = dict[int, bytes]
"""By number; a page that is not there is zeros."""
Content = tuple[int, tuple[tuple[int, bytes], ...]]
"""Size and pages of one file, for comparing."""


@dataclass(slots=True)
class LastWrite:
    """The newest write that no fsync has followed.

    Attributes:
        at: Number of the change that it was, to find the newest of a disk.
        before: What the range held; shorter than *size_bytes* where the file grew.
        file_bytes: How long the file was before.
    """

    at: int
    offset: int
    size_bytes: int
    before: bytes
    file_bytes: int


@dataclass(slots=True)
class Inode:
    """The bytes of one file, whatever its names are.

    Attributes:
        pages: As read now.
        durable: As the medium has them.
        dirty: Numbers of the pages that the next fsync will write.
        is_shared: The lists may be another file's too, and are copied before they change.
    """

    pages: Pages = field(default_factory=dict)
    size_bytes: int = 0
    durable: Pages = field(default_factory=dict)
    durable_bytes: int = 0
    dirty: set[int] = field(default_factory=set)
    last: LastWrite | None = None
    is_shared: bool = False

    def copy(self) -> "Inode":
        """Return the same file on a forked disk."""
        self.is_shared = True
        return Inode(
            self.pages,
            self.size_bytes,
            self.durable,
            self.durable_bytes,
            self.dirty,
            self.last,
            is_shared=True,
        )

    def _own(self) -> None:
        """Have lists that no other file has, before they are changed."""
        if self.is_shared:
            self.pages, self.durable = self.pages.copy(), self.durable.copy()
            self.dirty, self.is_shared = self.dirty.copy(), False

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return up to *size_bytes* from *offset*."""
        end = min(offset + size_bytes, self.size_bytes)
        return read_pages(self.pages, offset, end) if offset < end else b""

    def write(self, offset: int, data: bytes, at: int) -> None:
        """Put *data* at *offset*, as change number *at* of the disk."""
        self._own()
        before = self.read(offset, len(data))
        self.last = LastWrite(at, offset, len(data), before, self.size_bytes)
        for number, page in split(self.pages, offset, data):
            self.pages[number] = page
            self.dirty.add(number)
        self.size_bytes = max(self.size_bytes, offset + len(data))

    def resize(self, size_bytes: int) -> None:
        """Make the file *size_bytes* long; what it grows by is zeros."""
        if size_bytes < self.size_bytes:
            self._own()
            self.pages, gone = cut(self.pages, size_bytes)
            self.dirty |= gone
        self.size_bytes = size_bytes

    def rot(self, at: int) -> None:
        """Flip the lowest bit of byte *at*, as read and as the medium has it."""
        self._own()
        number, start = divmod(at, PAGE_BYTES)
        for pages in (self.pages, self.durable):
            page = pages.get(number, bytes(PAGE_BYTES))
            pages[number] = page[:start] + bytes([page[start] ^ 1]) + page[start + 1 :]

    def sync(self) -> None:
        """Make every byte durable."""
        if self.dirty:
            self._own()
        for number in self.dirty:
            page = self.pages.get(number)
            if page is None:
                self.durable.pop(number, None)
            else:
                self.durable[number] = page
        self.durable_bytes = self.size_bytes
        self.fail_to_sync()

    def fail_to_sync(self) -> None:
        """Forget what was to be written: so a kernel does after an error, whatever follows."""
        if self.dirty:
            self._own()
            self.dirty.clear()
        self.last = None

    def synced(self) -> "Inode":
        """Return the file as a medium has it on which nothing arrived since the last sync."""
        self.is_shared = True
        return settled(self.durable, self.durable_bytes)

    def written(self) -> "Inode":
        """Return the file as a medium has it on which everything has arrived."""
        if self.dirty:
            return settled(self.kept(), self.size_bytes)
        self.is_shared = True
        return settled(self.durable, self.size_bytes)

    def kept(self) -> Pages:
        """Return the pages that the medium has if everything that was to be written got there."""
        found = self.durable.copy()
        for number in self.dirty:
            if number in self.pages:
                found[number] = self.pages[number]
            else:
                found.pop(number, None)
        return found

    def torn(self) -> tuple[Pages, int]:
        """Return pages and size with the last write half done.

        It stops between two sectors; a write that is no longer than one stops in the
        middle, for many a medium promises nothing about a sector either.
        """
        found, size_bytes, last = self.kept(), self.size_bytes, self.last
        if last is None:
            return found, size_bytes
        half = last.size_bytes // 2
        if half > SECTOR_BYTES:
            half -= (last.offset + half) % SECTOR_BYTES
        before = last.before.ljust(last.size_bytes, b"\0")
        for number, page in split(found, last.offset + half, before[half:]):
            found[number] = page
        size_bytes = max(last.file_bytes, last.offset + half)
        return cut(found, size_bytes)[0], size_bytes


def settled(pages: Pages, size_bytes: int) -> Inode:
    """Return a file that is on the medium as it is read."""
    return Inode(pages, size_bytes, pages, size_bytes, is_shared=True)


def read_pages(pages: Pages, offset: int, end: int) -> bytes:
    """Return the bytes from *offset* to *end*; zeros where there is no page."""
    first, last = offset // PAGE_BYTES, (end - 1) // PAGE_BYTES
    if first == last:
        return pages.get(first, ZEROS)[offset - first * PAGE_BYTES : end - first * PAGE_BYTES]
    whole = b"".join([pages.get(number, ZEROS) for number in range(first, last + 1)])
    return whole[offset - first * PAGE_BYTES : end - first * PAGE_BYTES]


def split(pages: Pages, offset: int, data: bytes) -> list[tuple[int, bytes]]:
    """Return the pages that a write of *data* at *offset* replaces in *pages*."""
    found = []
    at = 0
    while at < len(data):
        number, start = divmod(offset + at, PAGE_BYTES)
        part = data[at : at + PAGE_BYTES - start]
        if len(part) < PAGE_BYTES:
            old = pages.get(number, bytes(PAGE_BYTES))
            page = old[:start] + part + old[start + len(part) :]
        else:
            page = bytes(part)
        found.append((number, page))
        at += len(part)
    return found


def cut(pages: Pages, size_bytes: int) -> tuple[Pages, set[int]]:
    """Return *pages* of a file that is *size_bytes* long now, and the numbers that changed."""
    number, start = divmod(size_bytes, PAGE_BYTES)
    changed = {other for other in pages if other > number or (other == number and start == 0)}
    found = {other: page for other, page in pages.items() if other not in changed}
    if start and number in found and any(found[number][start:]):
        found[number] = found[number][:start].ljust(PAGE_BYTES, b"\0")
        changed.add(number)
    return found, changed


def content(inode: Inode) -> Content:
    """Return what is read of *inode*, so that two can be compared."""
    return inode.size_bytes, tuple(sorted(inode.pages.items()))
