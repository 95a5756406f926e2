//! What a file is, in Linux terms.

use bitflags::bitflags;

/// The attributes of a file, as `stat` reports them.
///
/// The device (`st_dev`) is not here: it belongs to the mounted file system, see
/// [`Location::device`](crate::Location::device).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Inode number, unique in its file system while the file exists.
    pub inode: u64,
    /// Kind of file. It never changes during the life of an inode.
    pub kind: FileType,
    /// Permission bits with set-user-id, set-group-id and sticky.
    pub mode: Mode,
    /// Number of names; for a directory two plus its subdirectories.
    pub link_count: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Device that a character or block node stands for; zero for other kinds.
    pub represents: DeviceNumber,
    /// Length of the content; of a symbolic link, of its target.
    pub size_bytes: u64,
    /// Preferred unit of input and output.
    pub block_size_bytes: u32,
    /// Storage in use, in units of 512 bytes.
    pub blocks_512: u64,
    /// Time of the last read, where it is kept.
    pub accessed: Timestamp,
    /// Time of the last change of the content.
    pub modified: Timestamp,
    /// Time of the last change of content or attributes.
    pub changed: Timestamp,
    /// When it was made, where that is kept.
    pub born: Option<Timestamp>,
    /// What more may not be done to it; `None` where the file system has no such flags.
    pub flags: Option<InodeFlags>,
}

impl Metadata {
    /// Whether it has any of these flags.
    #[must_use]
    pub fn has(&self, flags: InodeFlags) -> bool {
        self.flags.is_some_and(|own| own.intersects(flags))
    }

    /// The attributes of something that is made by the LibOS, owned by the superuser, empty and
    /// without a date.
    #[must_use]
    pub const fn fixed(inode: u64, kind: FileType, mode: Mode) -> Self {
        const EPOCH: Timestamp = Timestamp {
            seconds: 0,
            nanoseconds: 0,
        };
        Self {
            inode,
            kind,
            mode,
            link_count: if matches!(kind, FileType::Directory) {
                2
            } else {
                1
            },
            user: 0,
            group: 0,
            represents: DeviceNumber::new(0, 0),
            size_bytes: 0,
            block_size_bytes: 4096,
            blocks_512: 0,
            accessed: EPOCH,
            modified: EPOCH,
            changed: EPOCH,
            born: None,
            flags: None,
        }
    }

    /// `st_mode`: the file type and the permission bits in one number.
    #[must_use]
    pub const fn st_mode(&self) -> u32 {
        self.kind.mode_bits() | self.mode.bits() as u32
    }
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// Named pipe, and the two ends of an anonymous one.
    Fifo,
    /// Character device.
    CharacterDevice,
    /// Directory.
    Directory,
    /// Block device.
    BlockDevice,
    /// Regular file.
    Regular,
    /// Symbolic link.
    Symlink,
    /// Socket.
    Socket,
    /// None of these: an eventfd, an epoll and the like, which `stat` shows without a type.
    Unnamed,
}

impl FileType {
    /// The type bits (`S_IFMT`) of `st_mode`.
    #[must_use]
    pub const fn mode_bits(self) -> u32 {
        (self.directory_entry_type() as u32) << 12
    }

    /// The `d_type` of a directory entry. It equals the type bits shifted right by twelve.
    #[must_use]
    pub const fn directory_entry_type(self) -> u8 {
        match self {
            Self::Fifo => 1,
            Self::CharacterDevice => 2,
            Self::Directory => 4,
            Self::BlockDevice => 6,
            Self::Regular => 8,
            Self::Symlink => 10,
            Self::Socket => 12,
            Self::Unnamed => 0,
        }
    }

    /// The type in an `st_mode`, or `None` for bits that Linux gives no meaning.
    #[must_use]
    pub const fn from_mode_bits(st_mode: u32) -> Option<Self> {
        Some(match (st_mode >> 12) & 0xf {
            1 => Self::Fifo,
            2 => Self::CharacterDevice,
            4 => Self::Directory,
            6 => Self::BlockDevice,
            8 => Self::Regular,
            10 => Self::Symlink,
            12 => Self::Socket,
            _ => return None,
        })
    }
}

bitflags! {
    /// Permission bits of a file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Mode: u16 {
        /// Others may execute, or search a directory.
        const OTHER_EXECUTE = 0o1;
        /// Others may write.
        const OTHER_WRITE = 0o2;
        /// Others may read.
        const OTHER_READ = 0o4;
        /// The group may execute.
        const GROUP_EXECUTE = 0o10;
        /// The group may write.
        const GROUP_WRITE = 0o20;
        /// The group may read.
        const GROUP_READ = 0o40;
        /// The owner may execute.
        const OWNER_EXECUTE = 0o100;
        /// The owner may write.
        const OWNER_WRITE = 0o200;
        /// The owner may read.
        const OWNER_READ = 0o400;
        /// Only owners remove names from this directory.
        const STICKY = 0o1000;
        /// Runs with the file's group.
        const SET_GROUP = 0o2000;
        /// Runs with the file's owner.
        const SET_USER = 0o4000;
    }
}

impl Mode {
    /// The mode given by the low twelve bits of `bits`; higher bits are ignored, as Linux does.
    #[must_use]
    pub const fn from_low_bits(bits: u32) -> Self {
        Self::from_bits_truncate((bits & 0o7777) as u16)
    }

    /// The mode after somebody else wrote to the file or took it over. Without group execution the
    /// set-group-id bit means something else, and stays.
    #[must_use]
    pub const fn without_set_id(self) -> Self {
        let mode = self.difference(Self::SET_USER);
        if self.contains(Self::GROUP_EXECUTE) {
            mode.difference(Self::SET_GROUP)
        } else {
            mode
        }
    }
}

bitflags! {
    /// What holds for a file whatever its permission bits say, in the bits of `chattr` (`FS_*_FL`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct InodeFlags: u32 {
        /// Nothing of it can be changed, nor its names.
        const IMMUTABLE = 0x10;
        /// It can be added to, and nothing else of it can be changed.
        const APPEND_ONLY = 0x20;
        /// Backups leave it out, and what is made in it.
        const NO_DUMP = 0x40;
        /// Reads are not noted, nor those of what is made in it.
        const NO_ACCESS_TIME = 0x80;
    }
}

impl InodeFlags {
    /// Those that keep a file as it is, which not every owner may set or take away.
    pub const PROTECTION: Self = Self::IMMUTABLE.union(Self::APPEND_ONLY);
    /// Those that what is made in a directory gets from it.
    pub const INHERITED: Self = Self::NO_DUMP.union(Self::NO_ACCESS_TIME);
}

/// A device number, split as Linux user space sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Driver.
    pub major: u32,
    /// Instance.
    pub minor: u32,
}

impl DeviceNumber {
    /// A device number from its parts.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// The 64-bit form of glibc's `makedev`, used in `st_dev` and `st_rdev`.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        let (major, minor) = (self.major as u64, self.minor as u64);
        (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
    }

    /// The inverse of [`to_u64`](Self::to_u64).
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self {
            major: ((number >> 8 & 0xfff) | (number >> 32 & 0xffff_f000)) as u32,
            minor: ((number & 0xff) | (number >> 12 & 0xffff_ff00)) as u32,
        }
    }
}

/// A point in time since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// Tells a file system the time.
pub trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> Timestamp;
}

/// Attributes to set; a field that is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeChange {
    /// New permission bits.
    pub mode: Option<Mode>,
    /// New owner.
    pub user: Option<u32>,
    /// New group.
    pub group: Option<u32>,
    /// New access time.
    pub accessed: Option<Timestamp>,
    /// New modification time.
    pub modified: Option<Timestamp>,
    /// New flags, where the file system has some.
    pub flags: Option<InodeFlags>,
}
