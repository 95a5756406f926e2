//! Places where a system call can be patched, and the code that takes their place.

use crate::jump::{JUMP_BYTES, TooFar, displacement, jump};

/// Bytes of the `mov eax, imm32; syscall` pattern.
pub const SITE_BYTES: usize = 7;

/// The most bytes that a stub needs.
pub const STUB_BYTES_MAX: usize = 26;

/// System call numbers from here on do not exist; a larger constant means that the bytes are data.
const NUMBERS: u32 = 1024;

/// What the code around a `syscall` looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `mov eax, imm32; syscall`, that is `b8 imm32; 0f 05`. The jump takes the place of the move;
    /// the `syscall` stays, for code that jumps straight to it and for restarted calls.
    MoveNumber,
}

/// A system call that can be patched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where its first byte is: an offset as [`find`] gives it, or an address once relocated.
    pub address: u64,
    /// What it looks like.
    pub shape: Shape,
    /// The number that it loads.
    pub number: u32,
}

/// Finds the sites in `code`, in order; their addresses are offsets in `code`.
///
/// The byte before a site decides as well: after a REX prefix the move loads another register, after
/// 66 it is shorter, after 0F it is another instruction. So a site at offset 0 is not found: give
/// the byte before, too.
pub fn find(code: &[u8]) -> impl Iterator<Item = Site> + '_ {
    code.windows(SITE_BYTES + 1)
        .enumerate()
        .filter_map(|(at, window)| move_number(at as u64 + 1, window))
}

fn move_number(address: u64, window: &[u8]) -> Option<Site> {
    let &[before, 0xb8, n0, n1, n2, n3, 0x0f, 0x05] = window else {
        return None;
    };
    let is_prefix = matches!(before, 0x40..=0x4f | 0x66 | 0x0f);
    let number = u32::from_le_bytes([n0, n1, n2, n3]);
    (!is_prefix && number < NUMBERS).then_some(Site {
        address,
        shape: Shape::MoveNumber,
        number,
    })
}

impl Site {
    /// The same site, when `find` looked at code that lies at `base`.
    #[must_use]
    pub const fn relocated(self, base: u64) -> Self {
        Self {
            address: self.address + base,
            ..self
        }
    }

    /// The address after the `syscall`, where the program goes on.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.address + SITE_BYTES as u64
    }

    /// What to write at the site so that it goes to its stub.
    ///
    /// # Errors
    /// When the stub is more than 2 GiB away.
    pub fn jump(&self, stub: u64) -> Result<[u8; JUMP_BYTES], TooFar> {
        jump(self.address, stub)
    }

    /// The stub of this site for the address `stub`; it goes on at the LibOS's `entry`.
    ///
    /// It does what the site did: load the number, and leave the address after the `syscall` in
    /// `rcx`, as the CPU does. It changes nothing else, flags included, and can be run again from
    /// the start at any point before its jump.
    ///
    /// # Errors
    /// When the site is more than 2 GiB away. The entry may be anywhere.
    pub fn stub(&self, stub: u64, entry: u64) -> Result<Stub, TooFar> {
        let mut code = Stub::default();
        code.push(&[0xb8]);
        code.push(&self.number.to_le_bytes());
        let after_lea = stub + code.len as u64 + 7;
        code.push(&[0x48, 0x8d, 0x0d]); // lea rcx, [rip + rel32]
        code.push(&displacement(after_lea, self.next())?);
        match jump(stub + code.len as u64, entry) {
            Ok(near) => code.push(&near),
            Err(TooFar) => {
                code.push(&[0xff, 0x25, 0, 0, 0, 0]); // jmp [rip], the address follows
                code.push(&entry.to_le_bytes());
            }
        }
        Ok(code)
    }
}

/// The code of a stub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stub {
    bytes: [u8; STUB_BYTES_MAX],
    len: usize,
}

impl Stub {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, more: &[u8]) {
        self.bytes[self.len..self.len + more.len()].copy_from_slice(more);
        self.len += more.len();
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// glibc 2.36's `getppid`: endbr64; mov eax, 110; syscall; ret.
    const GETPPID: [u8; 12] = [
        0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 0x6e, 0, 0, 0, 0x0f, 0x05, 0xc3,
    ];

    fn sites(code: &[u8]) -> Vec<Site> {
        find(code).collect()
    }

    #[test]
    fn the_number_of_a_libc_wrapper_is_found() {
        let site = Site {
            address: 4,
            shape: Shape::MoveNumber,
            number: 110,
        };

        assert_eq!(sites(&GETPPID), [site]);
    }

    #[test]
    fn a_move_to_another_register_is_no_site() {
        let r8 = [0x90, 0x41, 0xb8, 0x6e, 0, 0, 0, 0x0f, 0x05];
        let ax = [0x90, 0x66, 0xb8, 0x6e, 0, 0, 0, 0x0f, 0x05];
        let popcnt = [0xf3, 0x0f, 0xb8, 0x6e, 0, 0, 0, 0x0f, 0x05];

        assert_eq!(sites(&r8), []);
        assert_eq!(sites(&ax), []);
        assert_eq!(sites(&popcnt), []);
    }

    #[test]
    fn a_number_that_no_call_has_is_no_site() {
        assert_eq!(sites(&[0x90, 0xb8, 0, 4, 0, 0, 0x0f, 0x05]), []);
        assert_eq!(sites(&[0x90, 0xb8, 0xff, 3, 0, 0, 0x0f, 0x05]).len(), 1);
    }

    #[test]
    fn a_site_without_the_byte_before_is_left_alone() {
        assert_eq!(sites(&GETPPID[4..]), []);
    }

    #[test]
    fn a_near_stub_is_seventeen_bytes() {
        let site = sites(&GETPPID)[0].relocated(0x40_0000);

        let stub = site.stub(0x50_0000, 0x60_0000).expect("near");

        assert_eq!(
            stub.bytes(),
            [
                0xb8, 0x6e, 0, 0, 0, // mov eax, 110
                0x48, 0x8d, 0x0d, 0xff, 0xff, 0xef, 0xff, // lea rcx, [0x40000b]
                0xe9, 0xef, 0xff, 0x0f, 0x00, // jmp 0x600000
            ]
        );
        assert_eq!(site.jump(0x50_0000), Ok([0xe9, 0xf7, 0xff, 0x0f, 0x00]));
    }

    #[test]
    fn a_far_entry_is_reached_through_its_address() {
        let site = sites(&GETPPID)[0].relocated(0x40_0000);

        let stub = site
            .stub(0x50_0000, 0x12_3456_7890)
            .expect("the site is near");

        assert_eq!(stub.bytes().len(), STUB_BYTES_MAX);
        assert_eq!(
            stub.bytes()[12..],
            [
                0xff, 0x25, 0, 0, 0, 0, 0x90, 0x78, 0x56, 0x34, 0x12, 0, 0, 0
            ]
        );
    }

    #[test]
    fn a_far_stub_is_refused() {
        let site = sites(&GETPPID)[0].relocated(0x40_0000);

        assert_eq!(site.stub(0x1_0000_0000, 0x60_0000), Err(TooFar));
    }
}
