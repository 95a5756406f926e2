//! One call, from its arguments to its result.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use abi::errno::Errno;

use crate::Memory;
use crate::argument::Argument;
use crate::calls::signature;
use crate::details::detail;

/// A call that has begun.
#[derive(Clone, Debug)]
pub struct Line {
    name: String,
    number: u64,
    arguments: Vec<Shown>,
}

/// An argument: its text, or what to make one of when the call is over.
#[derive(Clone, Debug)]
enum Shown {
    Text(String),
    Later(Argument, u64, Size),
}

/// Where the length of something comes from.
#[derive(Clone, Copy, Debug)]
enum Size {
    Is(u64),
    Result,
}

impl Line {
    /// Begins the line of call `number` with these arguments.
    pub fn begin(number: u64, arguments: [u64; 6], memory: &impl Memory) -> Self {
        let (name, letters) = match signature(number) {
            Some((name, letters)) => (String::from(name), letters),
            None => (format!("syscall_{number:#x}"), "xxxxxx"),
        };
        let mut shown = Vec::new();
        for (index, letter) in letters.chars().enumerate().take(arguments.len()) {
            let kind = detail(&name, index)
                .or_else(|| Argument::from_letter(letter))
                .unwrap_or(Argument::Hex);
            let value = arguments[index];
            if kind == Argument::Mode && !needs_mode(letters, index, &arguments) {
                continue;
            }
            let size = kind.size(index, &arguments);
            shown.push(if kind.is_output() {
                Shown::Later(kind, value, size.map_or(Size::Result, Size::Is))
            } else {
                let mut text = String::new();
                kind.push(&mut text, value, size.unwrap_or(0), memory);
                Shown::Text(text)
            });
        }
        Self {
            name,
            number,
            arguments: shown,
        }
    }

    /// The line of a call that came back with this in `rax`.
    #[must_use]
    pub fn finish(self, result: u64, memory: &impl Memory) -> String {
        let failure = failure(result);
        let number = self.number;
        let mut text = self.arguments(|text, kind, value, size| match (failure, size) {
            (Some(_), _) => Argument::Hex.push(text, value, 0, memory),
            (None, Size::Result) => kind.push(text, value, result, memory),
            (None, Size::Is(size)) => kind.push(text, value, size, memory),
        });
        let _ = match failure {
            Some(errno) => write!(text, " = -1 {} ({})", errno.name(), errno.description()),
            None if gives_address(number) => write!(text, " = {result:#x}"),
            None => write!(text, " = {}", result.cast_signed()),
        };
        text
    }

    /// The line of a call that does not come back, or not yet.
    #[must_use]
    pub fn unfinished(self) -> String {
        let mut text = self.arguments(|text, _, value, _| {
            let _ = write!(text, "{value:#x}");
        });
        text.push_str(" = ?");
        text
    }

    fn arguments(self, mut later: impl FnMut(&mut String, Argument, u64, Size)) -> String {
        let mut text = self.name;
        text.push('(');
        for (index, argument) in self.arguments.into_iter().enumerate() {
            if index != 0 {
                text.push_str(", ");
            }
            match argument {
                Shown::Text(shown) => text.push_str(&shown),
                Shown::Later(kind, value, size) => later(&mut text, kind, value, size),
            }
        }
        text.push(')');
        text
    }
}

/// A mode that follows flags of `open` counts only if a file may be made.
fn needs_mode(letters: &str, index: usize, arguments: &[u64; 6]) -> bool {
    const O_CREAT: u64 = 0o100;
    const O_TMPFILE: u64 = 0o20_000_000;
    let Some(before) = index.checked_sub(1) else {
        return true;
    };
    letters.as_bytes()[before] != b'o' || arguments[before] & (O_CREAT | O_TMPFILE) != 0
}

fn failure(result: u64) -> Option<Errno> {
    const ERRORS: core::ops::Range<i64> = -4095..0;
    let signed = result.cast_signed();
    ERRORS
        .contains(&signed)
        .then(|| Errno::from_code(-signed))
        .flatten()
}

/// Whether a call gives an address: mmap, brk, mremap, shmat.
const fn gives_address(number: u64) -> bool {
    matches!(number, 9 | 12 | 25 | 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory that starts at 0x1000.
    struct Bytes(Vec<u8>);

    impl Memory for Bytes {
        fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
            let start = address.wrapping_sub(0x1000) as usize;
            let found = self.0.get(start..start.wrapping_add(buffer.len()));
            found.map(|bytes| buffer.copy_from_slice(bytes)).is_some()
        }
    }

    const AT_FDCWD: u64 = -100_i64 as u64;

    fn memory(parts: &[(usize, &[u8])]) -> Bytes {
        let mut bytes = alloc::vec![0; 0x2000];
        for (at, part) in parts {
            bytes[*at..at + part.len()].copy_from_slice(part);
        }
        Bytes(bytes)
    }

    fn line(memory: &Bytes, number: u64, arguments: [u64; 6], result: i64) -> String {
        Line::begin(number, arguments, memory).finish(result as u64, memory)
    }

    #[test]
    fn a_call_looks_as_strace_prints_it() {
        let memory = memory(&[(0, b"/etc/motd\0"), (0x100, b"hello\n")]);

        for (number, arguments, result, expected) in [
            (
                257,
                [AT_FDCWD, 0x1000, 0o2_000_000, 0xffff, 0, 0],
                3,
                r#"openat(AT_FDCWD, "/etc/motd", O_RDONLY|O_CLOEXEC) = 3"#,
            ),
            (
                257,
                [7, 0x1000, 0o1101, 0o644, 0, 0],
                -2,
                r#"openat(7, "/etc/motd", O_WRONLY|O_CREAT|O_TRUNC, 0644) = -1 ENOENT (no such file or directory)"#,
            ),
            (
                0,
                [3, 0x1100, 512, 0, 0, 0],
                6,
                r#"read(3, "hello\n", 512) = 6"#,
            ),
            (
                0,
                [3, 0x1100, 512, 0, 0, 0],
                -11,
                r#"read(3, 0x1100, 512) = -1 EAGAIN (resource temporarily unavailable)"#,
            ),
            (
                1,
                [1, 0x1100, 6, 0, 0, 0],
                6,
                r#"write(1, "hello\n", 6) = 6"#,
            ),
            (
                9,
                [0, 8192, 3, 0x22, 0xffff_ffff, 0],
                0x7000,
                "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x0) = 0x7000",
            ),
            (
                10,
                [0x7000, 4096, 0, 0, 0, 0],
                0,
                "mprotect(0x7000, 4096, PROT_NONE) = 0",
            ),
            (62, [1, 9, 0, 0, 0, 0], 0, "kill(1, SIGKILL) = 0"),
            (39, [1, 2, 3, 4, 5, 6], 1, "getpid() = 1"),
            (
                202,
                [0x1000, 0x80, 1, 0, 0, 0],
                -110,
                "futex(0x1000, FUTEX_WAIT|FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0) = -1 ETIMEDOUT (connection timed out)",
            ),
            (
                500,
                [1, 2, 3, 4, 5, 6],
                -38,
                "syscall_0x1f4(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS (function not implemented)",
            ),
        ] {
            assert_eq!(line(&memory, number, arguments, result), expected);
        }
    }

    #[test]
    fn what_a_call_wrote_is_shown() {
        let status = 3_u32 << 8;
        let memory = memory(&[
            (0, &[4, 0, 0, 0, 5, 0, 0, 0]),
            (0x20, &status.to_le_bytes()),
            (0x40, &[0, 0, 0, 0, 1, 0, 1, 0]),
        ]);

        assert_eq!(
            line(&memory, 293, [0x1000, 0o2_000_000, 0, 0, 0, 0], 0),
            "pipe2([4, 5], O_CLOEXEC) = 0"
        );
        assert_eq!(
            line(&memory, 61, [u64::from(u32::MAX), 0x1020, 1, 0, 0, 0], 9),
            "wait4(-1, [exited 3], WNOHANG, NULL) = 9"
        );
        assert_eq!(
            line(&memory, 7, [0x1040, 1, 0, 0, 0, 0], 1),
            "poll([{0, POLLIN => POLLIN}], 1, 0) = 1"
        );
    }

    #[test]
    fn structures_and_the_flags_of_single_calls_are_in_words() {
        let mut action = alloc::vec![0; 32];
        action[..8].copy_from_slice(&0x4000_u64.to_le_bytes());
        action[8..16].copy_from_slice(&0x1000_0004_u64.to_le_bytes());
        action[24] = 2;
        let mut stat = alloc::vec![0; 144];
        stat[8] = 7;
        stat[16] = 1;
        stat[24..28].copy_from_slice(&0o100_644_u32.to_le_bytes());
        stat[48] = 35;
        let mut name = alloc::vec![0; 390];
        name[..5].copy_from_slice(b"Linux");
        let memory = memory(&[
            (0, &action),
            (0x40, &[1, 0, 0, 0x80, 4, 0, 0, 0, 0, 0, 0, 0]),
            (0x50, &[1, 0, 0, 0]),
            (0x60, &[1, 0, 0, 0, 0, 0, 0, 0, 9]),
            (0x80, &[3, 0, 0, 0, 0, 0, 0, 0, 5]),
            (0x100, &stat),
            (0x200, &name),
            (0x400, &[1, 0, b'/', b's', 0]),
            (0x420, &[5, 0, 0, 0]),
            (0x440, &[0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]),
            (0x460, &[0, 0, 0xff, 0xff, 0, 0x10]),
            (0x480, &[0x60, 0x10, 0, 0, 0, 0, 0, 0, 2]),
            (0x4a0, &[1, 0]),
            (0x4b0, &[7, 0, 0, 0, 8, 0, 0, 0]),
        ]);

        for (number, arguments, result, expected) in [
            (
                13,
                [2, 0x1000, 0, 8, 0, 0],
                0,
                "rt_sigaction(SIGINT, {sa_handler=0x4000, sa_mask=[INT], sa_flags=SA_SIGINFO|SA_RESTART}, NULL, 8) = 0",
            ),
            (
                233,
                [3, 1, 4, 0x1040, 0, 0],
                0,
                "epoll_ctl(3, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLET, data=0x4}) = 0",
            ),
            (
                232,
                [3, 0x1040, 8, 0, 0, 0],
                1,
                "epoll_wait(3, [{events=EPOLLIN|EPOLLET, data=0x4}], 8, 0) = 1",
            ),
            (
                54,
                [3, 1, 2, 0x1050, 4, 0],
                0,
                "setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0",
            ),
            (
                302,
                [0, 7, 0x1060, 0, 0, 0],
                0,
                "prlimit64(0, RLIMIT_NOFILE, {rlim_cur=1, rlim_max=9}, NULL) = 0",
            ),
            (
                72,
                [3, 4, 0o4_000, 0, 0, 0],
                0,
                "fcntl(3, F_SETFL, O_RDONLY|O_NONBLOCK) = 0",
            ),
            (
                72,
                [3, 2, 1, 0, 0, 0],
                0,
                "fcntl(3, F_SETFD, FD_CLOEXEC) = 0",
            ),
            (
                5,
                [3, 0x1100, 0, 0, 0, 0],
                0,
                "fstat(3, {st_mode=S_IFREG|0644, st_size=35, st_ino=7, st_nlink=1}) = 0",
            ),
            (
                51,
                [3, 0x1400, 0x1420, 0, 0, 0],
                0,
                r#"getsockname(3, AF_UNIX:"/s", [5]) = 0"#,
            ),
            (
                38,
                [0, 0x1430, 0, 0, 0, 0],
                0,
                "setitimer(ITIMER_REAL, {it_interval={0, 0}, it_value={0, 9}}, NULL) = 0",
            ),
            (
                65,
                [1, 0x1460, 1, 0, 0, 0],
                0,
                "semop(1, [{sem_num=0, sem_op=-1, sem_flg=SEM_UNDO}], 1) = 0",
            ),
            (
                19,
                [3, 0x1480, 1, 0, 0, 0],
                2,
                r#"readv(3, ["\x01\x00"], 1) = 2"#,
            ),
            (
                204,
                [0, 8, 0x1080, 0, 0, 0],
                8,
                "sched_getaffinity(0, 8, [0 1]) = 8",
            ),
            (
                29,
                [0, 4096, 0o1_600, 0, 0, 0],
                5,
                "shmget(NULL, 4096, IPC_CREAT|0600) = 5",
            ),
            (
                118,
                [0x14b0, 0x14b4, 0x14b0, 0, 0, 0],
                0,
                "getresuid([7], [8], [7]) = 0",
            ),
            (
                23,
                [1, 0x14a0, 0, 0, 0, 0],
                1,
                "select(1, [0], NULL, NULL, NULL) = 1",
            ),
            (
                165,
                [0, 0, 0, 0x1001, 0, 0],
                -1,
                "mount(NULL, NULL, NULL, MS_RDONLY|MS_BIND, NULL) = -1 EPERM (operation not permitted)",
            ),
        ] {
            assert_eq!(line(&memory, number, arguments, result), expected);
        }
        let uname = line(&memory, 63, [0x1200, 0, 0, 0, 0, 0], 0);
        assert!(
            uname.starts_with(r#"uname({sysname="Linux", nodename="""#),
            "{uname}"
        );
    }

    #[test]
    fn no_call_with_any_arguments_is_too_long_or_panics() {
        let memory = Bytes((0..0x2000).map(|at| (at * 7) as u8).collect());
        for number in 0..500 {
            for value in [0, 1, 8, 0x1000, 0x1007, 0x2ff0, u64::MAX, 1 << 63] {
                for result in [0, 1, 64, -4, i64::MAX, i64::MIN] {
                    let text = line(&memory, number, [value; 6], result);
                    assert!(text.len() < 8192, "{number}: {} bytes", text.len());
                }
            }
        }
    }

    #[test]
    fn lists_and_long_strings_are_cut() {
        let mut list = Vec::new();
        for _ in 0..20 {
            list.extend_from_slice(&0x1800_u64.to_le_bytes());
        }
        let memory = memory(&[(0, &list), (0x800, &[b'a'; 100])]);

        let text = line(&memory, 59, [0x1800, 0x1000, 0, 0, 0, 0], 0);

        assert!(text.starts_with(r#"execve("aaaa"#), "{text}");
        assert_eq!(text.matches(r#"aaa"..."#).count(), 8, "{text}");
        assert!(text.ends_with(", ...], NULL) = 0"), "{text}");
    }

    #[test]
    fn an_address_that_cannot_be_read_is_shown_as_it_is() {
        let memory = memory(&[]);

        assert_eq!(
            line(&memory, 1, [1, 0x9999_0000, 5, 0, 0, 0], -14),
            "write(1, 0x99990000, 5) = -1 EFAULT (bad address)"
        );
        assert_eq!(
            Line::begin(231, [7, 0, 0, 0, 0, 0], &memory).unfinished(),
            "exit_group(7) = ?"
        );
        let _ = line(&memory, 59, [u64::MAX; 6], -14);
        let _ = line(&memory, 7, [u64::MAX; 6], 1);
    }
}
