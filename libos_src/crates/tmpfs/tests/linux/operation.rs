//! What both sides are asked to do, and how their answers are compared.

use proptest::prelude::*;

/// Both sides work below so many nested directories, so that `..` never leaves them.
pub(crate) const NESTING: usize = 24;

/// One side of the comparison.
pub(crate) trait Side {
    /// Does it and says what came of it: a short text, or the error number.
    fn apply(&mut self, operation: &Operation) -> Result<String, i32>;
    /// Everything below the working directory, one line each.
    fn tree(&self) -> Vec<String>;
}

/// Does the operations on both sides: each result must be the same, and the trees at the end.
pub(crate) fn compare(
    host: &mut dyn Side,
    libos: &mut dyn Side,
    operations: &[Operation],
) -> Result<(), TestCaseError> {
    for (index, operation) in operations.iter().enumerate() {
        let expected = host.apply(operation);
        let result = libos.apply(operation);
        prop_assert_eq!(
            &result,
            &expected,
            "step {}: {:?} of {:?}",
            index,
            operation,
            operations
        );
    }
    prop_assert_eq!(libos.tree(), host.tree(), "after {:?}", operations);
    Ok(())
}

/// How many names a file has, as both sides show it. A union does not count the subdirectories of a
/// directory, on Linux neither, so there it does not say.
pub(crate) fn links(is_directory: bool, count: u64, counts_directories: bool) -> String {
    if is_directory && !counts_directories {
        "-".to_string()
    } else {
        count.to_string()
    }
}

/// A system call on paths, with a text to show for it.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// `open` with these flags and the mode 0666, then `write` of some bytes if it is writable,
    /// `lseek` to the start, and `read` of everything if it is readable.
    Open {
        path: String,
        flags: u32,
        data: Vec<u8>,
    },
    /// `mkdir` with the mode 0777.
    MakeDirectory(String),
    /// `rmdir`
    RemoveDirectory(String),
    /// `unlink`
    Unlink(String),
    /// `symlink`
    Symlink { target: String, path: String },
    /// `linkat`, following the source or not.
    Link {
        from: String,
        to: String,
        follow: bool,
    },
    /// `renameat2` with these flags.
    Rename {
        from: String,
        to: String,
        flags: u32,
    },
    /// `stat` or `lstat`
    Status { path: String, follow: bool },
    /// `readlink`
    ReadLink(String),
    /// `truncate`
    Truncate { path: String, size: u16 },
    /// `chmod`
    ChangeMode { path: String, mode: u32 },
    /// `fallocate` with one of the modes that tmpfs has, and what `read` gives then.
    Allocate {
        path: String,
        mode: u32,
        offset: u16,
        length: u16,
    },
    /// `setxattr`, `getxattr`, `listxattr` and `removexattr` of a `user.` attribute.
    Attribute {
        path: String,
        name: &'static str,
        value: u8,
        flags: u32,
    },
    /// `getdents64`, sorted.
    List(String),
}

fn component() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        6 => prop::sample::select(&["a", "b", "c"][..]),
        1 => Just("."),
        1 => Just(".."),
    ]
}

fn path() -> impl Strategy<Value = String> {
    let slash = prop_oneof![6 => Just("/"), 1 => Just("//")];
    let end = prop_oneof![8 => Just(""), 1 => Just("/"), 1 => Just("//")];
    let normal = (
        prop::collection::vec((component(), slash), 0..3),
        component(),
        end,
    )
        .prop_map(|(front, last, end)| {
            let front: String = front
                .iter()
                .map(|(name, slash)| format!("{name}{slash}"))
                .collect();
            format!("{front}{last}{end}")
        });
    let odd = prop_oneof![
        Just(String::new()),
        Just("n".repeat(255)),
        Just("n".repeat(256)),
        Just(format!("a/{}/b", "n".repeat(256))),
        Just("a/".repeat(2047) + "a"),
        Just("a/".repeat(2048)),
        Just("./".repeat(2047) + "a"),
    ];
    prop_oneof![40 => normal, 1 => odd]
}

fn flags() -> impl Strategy<Value = u32> {
    const CHOICES: [u32; 8] = [
        0o100,
        0o200,
        0o1000,
        0o2000,
        0o200_000,
        0o400_000,
        0o10_000_000,
        0o20_200_000,
    ];
    let extra = prop::collection::vec(prop::sample::select(&CHOICES[..]), 0..4);
    let access = prop_oneof![2 => Just(0), 1 => Just(1), 4 => Just(2)];
    let random =
        (access, extra).prop_map(|(access, extra)| extra.iter().fold(access, |a, b| a | b));
    prop_oneof![2 => random, 2 => Just(0o102), 1 => Just(0o1102), 1 => Just(0o302)]
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let data = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..10),
        Just(vec![7; 4096]),
        Just(vec![9; 5000])
    ];
    let mode = prop::sample::select(&[0o644, 0o755, 0o4755, 0o1777, 0o000][..]);
    prop_oneof![
        6 => (path(), flags(), data).prop_map(|(path, flags, data)| Open { path, flags, data }),
        6 => path().prop_map(MakeDirectory),
        3 => path().prop_map(RemoveDirectory),
        3 => path().prop_map(Unlink),
        4 => (path(), path()).prop_map(|(target, path)| Symlink { target, path }),
        3 => (path(), path(), any::<bool>())
            .prop_map(|(from, to, follow)| Link { from, to, follow }),
        8 => (path(), path(), prop_oneof![4 => Just(0), 1 => 1..4_u32])
            .prop_map(|(from, to, flags)| Rename { from, to, flags }),
        2 => (path(), any::<bool>()).prop_map(|(path, follow)| Status { path, follow }),
        1 => path().prop_map(ReadLink),
        1 => (path(), 0..9000_u16).prop_map(|(path, size)| Truncate { path, size }),
        1 => (path(), mode).prop_map(|(path, mode)| ChangeMode { path, mode }),
        1 => (path(), prop::sample::select(&[0, 1, 3][..]), 0..9000_u16, 1..9000_u16).prop_map(
            |(path, mode, offset, length)| Allocate { path, mode, offset, length }
        ),
        1 => (path(), prop::sample::select(&["user.a", "user.b"][..]), 0..3_u8, 0..3_u32).prop_map(
            |(path, name, value, flags)| Attribute { path, name, value, flags }
        ),
        1 => path().prop_map(List),
    ]
}

/// A sequence of operations on few names, so that they meet.
pub(crate) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operation(), 1..40)
}
