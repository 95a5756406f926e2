//! Mapping an executable and its interpreter.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::ops::Range;

use hal::{Errno, PAGE_SIZE, Prot};
use vfs::{
    Access, FileCapabilities, FileType, Follow, Location, Mode, MountFlags, Unwritten, Viewpoint,
};

use super::image::{BadImage, Image, Segment, Source};
use super::invocation::{Binary, Invocation};
use crate::memory::{
    AddressSpace, Backing, FileBacking, FilePlace, Mapping, Placement, Purpose, page_ceiling,
};

/// A file that may be run: a regular file with execute permission.
pub(crate) struct Executable {
    running: Unwritten,
    path: Arc<[u8]>,
    len_bytes: u64,
}

/// A program in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Where the first instruction is: the interpreter's, if there is one.
    pub(crate) start: u64,
    /// The program's own entry point (`AT_ENTRY`).
    pub(crate) entry: u64,
    /// Where the program's headers are (`AT_PHDR`).
    pub(crate) headers: u64,
    /// How many (`AT_PHNUM`).
    pub(crate) header_count: u16,
    /// Where the interpreter was put, or 0 (`AT_BASE`).
    pub(crate) interpreter_base: u64,
    /// The first page after the program.
    pub(crate) end: u64,
    /// Whether the stack must be executable.
    pub(crate) needs_executable_stack: bool,
}

/// Why a program did not load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadError {
    /// What a program that asked for it gets.
    pub(crate) errno: Errno,
    /// What a person is told.
    pub(crate) message: String,
}

impl Executable {
    /// Finds a program. Its permissions are checked as `execve` does.
    pub(crate) fn open(viewpoint: &Viewpoint, path: &[u8]) -> Result<Self, LoadError> {
        let location = viewpoint.resolve(None, path, Follow::Yes);
        Self::at(
            viewpoint,
            location.map_err(|errno| failed(path, errno))?,
            path,
        )
    }

    /// Takes a program that was found by `path`.
    pub(crate) fn at(
        viewpoint: &Viewpoint,
        location: Location,
        path: &[u8],
    ) -> Result<Self, LoadError> {
        let failed = |errno: Errno| failed(path, errno);
        check_executable(viewpoint, &location).map_err(failed)?;
        let metadata = location.metadata().map_err(failed)?;
        location.note_access();
        Ok(Self {
            path: viewpoint.path_of(&location).into(),
            len_bytes: metadata.size_bytes,
            running: location.keep_unwritten().map_err(failed)?,
        })
    }

    /// Whose rights a program of it has (`S_ISUID`, `S_ISGID`), where that is not the caller's.
    pub(crate) fn set_ids(&self) -> Result<[Option<u32>; 2], Errno> {
        if (self.location().mount().flags()).contains(MountFlags::NO_SET_USER) {
            return Ok([None; 2]);
        }
        let metadata = self.location().metadata()?;
        let mode = metadata.mode;
        let user = mode.contains(Mode::SET_USER).then_some(metadata.user);
        // Without group execution the bit means something else.
        let group = mode.contains(Mode::SET_GROUP | Mode::GROUP_EXECUTE);
        Ok([user, group.then_some(metadata.group)])
    }

    /// What a program of it may do because it says so.
    pub(crate) fn capabilities(&self) -> Result<Option<FileCapabilities>, Errno> {
        if (self.location().mount().flags()).contains(MountFlags::NO_SET_USER) {
            return Ok(None);
        }
        self.location().capabilities()
    }

    /// Where it is.
    pub(crate) fn location(&self) -> &Location {
        self.running.location()
    }

    /// The file, which nobody writes to while it runs.
    pub(crate) const fn running(&self) -> &Unwritten {
        &self.running
    }

    /// Why it cannot be run.
    pub(super) fn refused(&self, errno: Errno, reason: &str) -> LoadError {
        let path = self.path.escape_ascii();
        LoadError {
            errno,
            message: format!("cannot run `{path}`: {reason}"),
        }
    }

    /// What it asks to be mapped.
    pub(super) fn image(&self) -> Result<Image, LoadError> {
        Image::read(self).map_err(|reason| match reason {
            BadImage::Refused(reason) => self.refused(Errno::ENOEXEC, reason),
            BadImage::Unreadable(errno) => self.refused(errno, &errno.to_string()),
        })
    }
}

fn failed(path: &[u8], errno: Errno) -> LoadError {
    LoadError {
        errno,
        message: format!("cannot run `{}`: {errno}", path.escape_ascii()),
    }
}

fn check_executable(viewpoint: &Viewpoint, location: &Location) -> Result<(), Errno> {
    if location.kind() != FileType::Regular {
        return Err(Errno::EACCES);
    }
    if location.mount().flags().contains(MountFlags::NO_EXECUTE) {
        return Err(Errno::EACCES);
    }
    viewpoint.check_access(location, Access::EXECUTE)
}

impl Source for Executable {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_exact(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let mut done = 0;
        while done < buffer.len() {
            match self
                .location()
                .inode()
                .read_at(offset + done as u64, &mut buffer[done..])?
            {
                0 => return Err(Errno::EIO),
                count => done += count,
            }
        }
        Ok(())
    }
}

/// Maps a program, its interpreter and nothing else.
pub(crate) fn load(space: &AddressSpace, invocation: &Invocation) -> Result<Loaded, LoadError> {
    let image = &invocation.program.image;
    let placement = Placement::Image {
        align: image.align(),
        file: invocation.program.first_part(),
    };
    let base = map_image(space, &invocation.program, placement, Purpose::Image)?;
    let entry = base.wrapping_add(image.entry);
    let mut loaded = Loaded {
        start: entry,
        entry,
        headers: base.wrapping_add(image.headers),
        header_count: image.header_count,
        interpreter_base: 0,
        end: base.wrapping_add(image.span().end),
        needs_executable_stack: image.needs_executable_stack,
    };
    if let Some(interpreter) = &invocation.interpreter {
        let placement = Placement::MmapAligned {
            align: interpreter.image.align(),
            file: interpreter.first_part(),
        };
        loaded.interpreter_base = map_image(space, interpreter, placement, Purpose::Program)?;
        loaded.start = loaded
            .interpreter_base
            .wrapping_add(interpreter.image.entry);
    }
    Ok(loaded)
}

impl Binary {
    /// What is on its first page.
    fn first_part(&self) -> Option<FilePlace> {
        let first = self.image.segments.first()?;
        let offset = first.file_offset - first.file_offset % PAGE_SIZE;
        FilePlace::of(&**self.file.location().inode(), offset)
    }
}

/// Maps all segments of an image; returns what is added to each of its addresses.
fn map_image(
    space: &AddressSpace,
    binary: &Binary,
    placement: Placement,
    purpose: Purpose,
) -> Result<u64, LoadError> {
    let Binary { file, image } = binary;
    let failed = |errno: Errno| LoadError {
        errno,
        message: no_room(space, file, image, errno),
    };
    let span = image.span();
    let placement = if image.is_relocatable {
        placement
    } else {
        Placement::FixedFree(span.start)
    };
    let place = space
        .map(Mapping {
            placement,
            len: span.end - span.start,
            prot: Prot::empty(),
            backing: Backing::Zero,
            purpose,
            most: Prot::all(),
            grows_down: false,
            is_unreserved: false,
        })
        .map_err(failed)?;
    space.expect_content(place, span.end - span.start);
    let base = place.wrapping_sub(span.start);
    let mut mapped_to = place;
    for segment in &image.segments {
        let pages = shifted(&segment.pages(), base);
        unmap_gap(space, &(mapped_to..pages.start)).map_err(failed)?;
        map_segment(space, file, segment, base, purpose).map_err(failed)?;
        mapped_to = pages.end;
    }
    Ok(base)
}

fn unmap_gap(space: &AddressSpace, gap: &Range<u64>) -> Result<(), Errno> {
    if gap.is_empty() {
        Ok(())
    } else {
        space.unmap(gap.start, gap.end - gap.start)
    }
}

fn map_segment(
    space: &AddressSpace,
    file: &Executable,
    segment: &Segment,
    base: u64,
    purpose: Purpose,
) -> Result<(), Errno> {
    let pages = shifted(&segment.pages(), base);
    let memory = shifted(&segment.memory, base);
    let file_end = memory.start + segment.file_bytes;
    let file_pages_end = page_ceiling(file_end).ok_or(Errno::ENOMEM)?;
    let zeros = if segment.file_bytes == 0 {
        pages.start
    } else {
        file_pages_end
    };
    if zeros < pages.end {
        space.map(Mapping {
            placement: Placement::Fixed(zeros),
            len: pages.end - zeros,
            prot: segment.prot,
            backing: Backing::Zero,
            purpose,
            most: Prot::all(),
            grows_down: false,
            is_unreserved: false,
        })?;
    }
    if segment.file_bytes == 0 {
        return Ok(());
    }
    let has_tail = memory.end > file_end;
    let prot_for_tail = Prot::READ | Prot::WRITE;
    space.map(Mapping {
        placement: Placement::Fixed(pages.start),
        len: file_pages_end - pages.start,
        prot: if has_tail {
            prot_for_tail
        } else {
            segment.prot
        },
        backing: Backing::File(FileBacking {
            inode: file.location().inode().clone(),
            path: file.path.clone(),
            offset: segment.file_offset - segment.file_offset % PAGE_SIZE,
            is_untouched: true,
            is_for_loader: true,
            // Nobody writes to a program that runs.
            copied: None,
        }),
        purpose,
        most: Prot::all(),
        grows_down: false,
        is_unreserved: false,
    })?;
    if !has_tail {
        return Ok(());
    }
    // What the file has behind the segment on its last page is not the segment's.
    space.zero(file_end, file_pages_end - file_end)?;
    if segment.prot != prot_for_tail {
        space.protect(pages.start, file_pages_end - pages.start, segment.prot)?;
    }
    Ok(())
}

fn no_room(space: &AddressSpace, file: &Executable, image: &Image, errno: Errno) -> String {
    let path = file.path.escape_ascii();
    let span = image.span();
    let user = &space.layout().backed;
    if image.is_relocatable || (user.start <= span.start && span.end <= user.end) {
        return format!("cannot load `{path}`: {errno}");
    }
    format!(
        "cannot load `{path}`: it must lie at {:#x} to {:#x}, but programs have {:#x} to {:#x}; \
         `resource_limits.user_space_size: {}MB` in Occlum.yaml would do for the image",
        span.start,
        span.end,
        user.start,
        user.end,
        span.end.saturating_sub(user.start).div_ceil(1 << 20)
    )
}

const fn shifted(range: &Range<u64>, base: u64) -> Range<u64> {
    range.start.wrapping_add(base)..range.end.wrapping_add(base)
}
