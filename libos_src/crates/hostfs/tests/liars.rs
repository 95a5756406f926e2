//! A host that says anything: whatever it says, what comes out is something a file system can say.

use std::collections::BTreeMap;
use std::sync::Mutex;

use abi::host_files::HostEntry;
use hal::{Errno, HostChange, HostFiles, HostSizes, HostStatus};
use hostfs::HostFs;
use proptest::prelude::*;
use vfs::{
    AttributeChange, Follow, Mode, MountFlags, Namespace, OpenFlags, RenameFlags, SeekFrom,
    SinkState, Viewpoint,
};

/// Answers from a list of random words, over and over.
struct Liar {
    words: Vec<u64>,
    next: Mutex<usize>,
    /// What it said of each handle: it says the same again more often than not.
    said: Mutex<BTreeMap<u32, HostStatus>>,
}

/// Words that mean something somewhere: kinds of files, limits, and numbers beyond them.
const INTERESTING: [u64; 16] = [
    0,
    1,
    0o040_755,
    0o100_644,
    0o120_777,
    0o010_644,
    0o060_600,
    4096,
    999_999_999,
    1_000_000_000,
    1 << 31,
    1 << 47,
    1 << 48,
    1 << 62,
    i64::MAX as u64,
    u64::MAX,
];

impl Liar {
    fn word(&self) -> u64 {
        let mut next = self.next.lock().expect("alone");
        let word = self.words[*next % self.words.len()];
        *next += 1;
        word
    }

    fn pick(&self, from: u64) -> u64 {
        self.word() % from
    }

    /// Succeeds more often than not.
    fn reply<T>(&self, value: impl FnOnce() -> T) -> Result<T, Errno> {
        match self.pick(8) {
            0 => Err(Errno::ENOENT),
            1 => Err(Errno::EIO),
            _ => Ok(value()),
        }
    }

    fn interesting(&self) -> u64 {
        match self.pick(4) {
            0 => self.word(),
            _ => INTERESTING[self.pick(INTERESTING.len() as u64) as usize],
        }
    }

    /// Mostly what could be, with one lie or none.
    fn status(&self) -> HostStatus {
        let modes = [0o040_755, 0o100_644, 0o120_777, 0o100_644, 0o040_755];
        let mut status = HostStatus {
            device: 1,
            inode: self.pick(4),
            mode: modes[self.pick(5) as usize],
            link_count: 1,
            size_bytes: 10,
            blocks_512: 8,
            times: [[1, 2]; 3],
        };
        let lie = self.interesting();
        match self.pick(12) {
            0 => status.mode = lie,
            1 => status.size_bytes = lie,
            2 => status.link_count = lie,
            3 => status.blocks_512 = lie,
            4 => status.times[1] = [lie, 0],
            5 => status.times[2] = [0, lie],
            6 => status.device = lie,
            7 => status.inode = lie,
            _ => {}
        }
        status
    }

    fn say(&self, handle: u32, status: HostStatus) -> HostStatus {
        self.said.lock().expect("alone").insert(handle, status);
        status
    }

    fn bytes(&self) -> Vec<u8> {
        let length = self.pick(40) as usize;
        (0..length).map(|_| self.word() as u8).collect()
    }
}

impl HostFiles for Liar {
    fn root(&self, _source: &[u8], new: u32) -> Result<HostStatus, Errno> {
        let status = HostStatus {
            device: 1,
            mode: 0o040_755,
            ..HostStatus::default()
        };
        Ok(self.say(new, status))
    }

    fn look_up(&self, _directory: u32, _name: &[u8], new: u32) -> Result<HostStatus, Errno> {
        self.reply(|| self.say(new, self.status()))
    }

    fn close(&self, _handle: u32) {}

    fn status(&self, handle: u32) -> Result<HostStatus, Errno> {
        let said = self.said.lock().expect("alone").get(&handle).copied();
        match said {
            Some(said) if self.pick(8) != 0 => Ok(said),
            _ => self.reply(|| self.status()),
        }
    }

    fn open(&self, _handle: u32, _is_written: bool) -> Result<(), Errno> {
        self.reply(|| ())
    }

    fn read(&self, _handle: u32, _offset: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
        self.reply(|| self.pick(bytes.len() as u64 + 1) as usize)
    }

    fn write(&self, _handle: u32, _offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        self.reply(|| self.pick(bytes.len() as u64 + 1) as usize)
    }

    fn truncate(&self, _handle: u32, _size_bytes: u64) -> Result<(), Errno> {
        self.reply(|| ())
    }

    fn synchronize(&self, _handle: u32) -> Result<(), Errno> {
        self.reply(|| ())
    }

    fn list(&self, _directory: u32, _cookie: u64) -> Result<Vec<u8>, Errno> {
        self.reply(|| {
            let mut room = vec![0; 256];
            let whole = room.len();
            let mut rest = &mut room[..];
            for _ in 0..self.pick(5) {
                let name = match self.pick(6) {
                    0 => b"..".to_vec(),
                    1 => b"a/b".to_vec(),
                    2 => self.bytes(),
                    _ => format!("name{}", self.pick(9)).into_bytes(),
                };
                let entry = HostEntry {
                    inode: self.word(),
                    cookie: self.interesting(),
                    kind: [8, 4, 10, 0, 0, self.word() as u8][self.pick(6) as usize],
                    name: &name,
                };
                match entry.put(std::mem::take(&mut rest)) {
                    Some(behind) => rest = behind,
                    None => break,
                }
            }
            let cut = if self.pick(8) == 0 { 1 } else { 0 };
            let length = (whole - rest.len()).saturating_sub(cut);
            room.truncate(length);
            room
        })
    }

    fn create(
        &self,
        _directory: u32,
        _name: &[u8],
        _mode: u32,
        _link_target: &[u8],
        new: u32,
    ) -> Result<HostStatus, Errno> {
        self.reply(|| self.say(new, self.status()))
    }

    fn link(&self, _directory: u32, _name: &[u8], _target: u32) -> Result<(), Errno> {
        self.reply(|| ())
    }

    fn remove(&self, _directory: u32, _name: &[u8], _is_directory: bool) -> Result<(), Errno> {
        self.reply(|| ())
    }

    fn rename(&self, _from: (u32, &[u8]), _to: (u32, &[u8]), _flags: u32) -> Result<(), Errno> {
        self.reply(|| ())
    }

    fn read_link(&self, _handle: u32) -> Result<Vec<u8>, Errno> {
        self.reply(|| match self.pick(3) {
            0 => vec![b'x'; 5000],
            1 => self.bytes(),
            _ => b"name1".to_vec(),
        })
    }

    fn change(&self, _handle: u32, _change: &HostChange) -> Result<(), Errno> {
        self.reply(|| ())
    }

    fn sizes(&self, _handle: u32) -> Result<HostSizes, Errno> {
        self.reply(|| HostSizes {
            block_size_bytes: self.interesting(),
            blocks: self.interesting(),
            blocks_free: self.interesting(),
            inodes: self.interesting(),
            inodes_free: self.interesting(),
        })
    }
}

fn check_metadata(metadata: &vfs::Metadata) {
    assert!(metadata.size_bytes < 1 << 48);
    assert!(metadata.modified.nanoseconds < 1_000_000_000);
    assert!(metadata.changed.nanoseconds < 1_000_000_000);
    assert_eq!((metadata.user, metadata.group), (0, 0));
    assert_eq!(metadata.mode.bits() & !0o777, 0);
}

/// One look or change, on paths that the liar makes up as it goes.
fn step(view: &Viewpoint, what: u8, path: &[u8]) {
    let mode = Mode::from_low_bits(0o644);
    if what.is_multiple_of(8)
        && let Ok(file) = view.open(None, path, OpenFlags::CREATE | OpenFlags::READ_WRITE, mode)
    {
        let kind = file.location().kind();
        let mut buffer = [0; 100];
        for _ in 0..3 {
            let _ = file.read(&mut buffer).map(|count| assert!(count <= 100));
            let _ = file.write(&buffer).map(|count| assert!(count <= 100));
            let _ = file
                .seek(SeekFrom::End(0))
                .map(|end| assert!(end < 1 << 48));
            if let Ok(metadata) = file.metadata() {
                assert_eq!(metadata.kind, kind, "a file changed its kind");
                check_metadata(&metadata);
            }
        }
        return;
    }
    let _ = match what % 8 {
        1 => view.make_directory(None, path, mode).map(drop),
        2 => view.unlink(None, path),
        3 => view.remove_directory(None, path),
        4 => view.rename(None, path, None, b"name2", RenameFlags::empty()),
        5 => view.make_symlink(b"name3", None, path).map(drop),
        6 => view.resolve(None, path, Follow::Yes).and_then(|place| {
            check_metadata(&place.metadata()?);
            view.set_attributes(&place, &AttributeChange::default())
        }),
        _ => {
            let directory = OpenFlags::DIRECTORY;
            view.open(None, b"/", directory, mode)
                .and_then(|directory| {
                    let mut count = 0;
                    directory.read_directory(&mut |entry| {
                        let is_dot = matches!(entry.name, b"." | b"..");
                        assert!(is_dot || vfs::Name::new(entry.name).is_ok());
                        count += 1;
                        if count == 50 {
                            SinkState::Full
                        } else {
                            SinkState::Taken
                        }
                    })
                })
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_the_host_says_is_something_or_an_error(
        words in prop::collection::vec(any::<u64>(), 200..400),
        steps in prop::collection::vec((any::<u8>(), 0..5_u8), 1..20),
    ) {
        let liar: &'static Liar = Box::leak(Box::new(Liar {
            words,
            next: Mutex::default(),
            said: Mutex::default(),
        }));
        let root = HostFs::new(liar, b"/lent", false).expect("it begins honestly");
        let namespace = Namespace::new(root.clone(), MountFlags::default()).expect("a directory");
        let view = Viewpoint::new(namespace);
        for (what, path) in steps {
            let path = [&b"name1"[..], b"name1/name2", b"name2", b"a/../name1", b"name1/"]
                [usize::from(path)];
            step(&view, what, path);
        }
        if let Ok(sizes) = vfs::FileSystem::statistics(&*root) {
            prop_assert!(sizes.blocks_free <= sizes.blocks);
            prop_assert!(sizes.block_size_bytes.is_power_of_two());
        }
    }
}
