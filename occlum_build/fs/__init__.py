"""File trees and the images made of them; programs that actions run.

A tree (`tree`) comes from a Debian package (`deb`), a host directory
(`directory`), a canonical tar (`archive`) or a specification (`rootfs`), and
becomes an EROFS image (`erofs`) with a dm-verity hash tree (`verity`) behind it
(`image`). Nothing here knows the engine; only the standard library is imported,
so that an action starts fast and a dependency's update re-signs no enclave.
"""
