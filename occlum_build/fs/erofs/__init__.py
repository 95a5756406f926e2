"""EROFS, the read-only file system of Linux: a writer and a reader of plain images.

Plain means: no compression, no chunks, no extended attributes, 4 KiB blocks.
`mount -t erofs`, `fsck.erofs` and `dump.erofs` read what the writer makes; the
reader also reads what `mkfs.erofs` makes without options.
"""
