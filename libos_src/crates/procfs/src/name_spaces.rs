//! `/proc/PID/ns`: in which name spaces a process is (namespaces(7)).

use alloc::sync::Arc;
use alloc::vec::Vec;

use vfs::{DirectorySink, FileType, Inode, Metadata, Name, Result};

use crate::directory::{find, inode_number, list};
use crate::link::PlaceLink;
use crate::{NameSpace, ProcessPlace, Source, owner};

/// The numbers of the links, within a process.
const FIRST_LINK: u32 = 128;
const LINKS: [(&str, NameSpace); 10] = [
    ("cgroup", NameSpace::Groups),
    ("ipc", NameSpace::Objects),
    ("mnt", NameSpace::Mounts),
    ("net", NameSpace::Network),
    ("pid", NameSpace::Processes),
    ("pid_for_children", NameSpace::Processes),
    ("time", NameSpace::Times),
    ("time_for_children", NameSpace::Times),
    ("user", NameSpace::Users),
    ("uts", NameSpace::HostNames),
];

/// The directory.
pub(crate) struct NameSpaces {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) process: u32,
    pub(crate) inode: u64,
}

impl NameSpaces {
    fn entries(&self) -> Vec<(&'static str, Arc<dyn Inode>)> {
        let entry = |(within, (name, space))| {
            let link = PlaceLink {
                source: self.source.clone(),
                inode: inode_number(self.process, within),
                process: self.process,
                place: ProcessPlace::NameSpace(space),
            };
            (name, Arc::new(link) as Arc<dyn Inode>)
        };
        (FIRST_LINK..).zip(LINKS).map(entry).collect()
    }
}

impl Inode for NameSpaces {
    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn metadata(&self) -> Result<Metadata> {
        owner::metadata_of_own(&*self.source, self.process, self.inode, 0o511)
    }

    fn has_volatile_entries(&self) -> bool {
        true
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>> {
        find(self.entries(), name)
    }

    fn read_directory(&self, cookie: u64, sink: &mut DirectorySink<'_>) -> Result<()> {
        list(&self.entries(), cookie, sink).map(|_| ())
    }
}
