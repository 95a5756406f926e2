//! What is to be run: a program with its arguments, found through scripts.

use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

use hal::Errno;
use vfs::Viewpoint;

use super::image::{Image, Source};
use super::loader::{Executable, LoadError};
use crate::processes::Ids;

/// A program that is ready to be loaded: nothing about its files is left to be refused.
pub(crate) struct Invocation {
    /// What is mapped.
    pub(crate) program: Binary,
    /// What the program asks to be started by.
    pub(crate) interpreter: Option<Binary>,
    /// The arguments, with those that scripts add.
    pub(crate) argv: Vec<Vec<u8>>,
    /// The environment.
    pub(crate) env: Vec<Vec<u8>>,
    /// Whether a script was asked for, which its interpreter opens by the path.
    pub(crate) is_script: bool,
    /// The path that was asked for (`AT_EXECFN`).
    pub(crate) path: Vec<u8>,
    /// Who runs it.
    pub(crate) run_as: RunAs,
}

/// Who a program is run by, as its auxiliary vector tells it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RunAs {
    /// Its user.
    pub(crate) user: Ids,
    /// Its group.
    pub(crate) group: Ids,
    /// Whether it must not trust its environment (`AT_SECURE`).
    pub(crate) is_secure: bool,
}

/// An ELF file and what it asks for.
pub(crate) struct Binary {
    pub(crate) file: Executable,
    pub(crate) image: Image,
}

/// What the first line of a script names.
struct Shebang {
    interpreter: Vec<u8>,
    argument: Option<Vec<u8>>,
}

/// How much of a file is looked at for its first line (`BINPRM_BUF_SIZE`).
const FIRST_LINE_BYTES: u64 = 256;
/// How many scripts may start each other.
const SCRIPTS_MAX: u32 = 4;

impl Invocation {
    /// Finds out what it means to run `file`, which was asked for by `path`.
    ///
    /// # Errors
    /// As `execve(2)`: `ENOEXEC`, `ENOENT` and `EACCES` for interpreters, `ELOOP` for scripts that
    /// start each other.
    pub(crate) fn new(
        viewpoint: &Viewpoint,
        mut file: Executable,
        path: &[u8],
        mut argv: Vec<Vec<u8>>,
        env: Vec<Vec<u8>>,
    ) -> Result<Self, LoadError> {
        let mut script = path.to_vec();
        for depth in 0..=SCRIPTS_MAX {
            let Some(line) = Shebang::read(&file)? else {
                let mut found = Self::of_binary(viewpoint, file, path, argv, env)?;
                found.is_script = depth > 0;
                return Ok(found);
            };
            let rest = argv.into_iter().skip(1);
            argv = Vec::from([line.interpreter.clone()]);
            argv.extend(line.argument);
            argv.push(script);
            argv.extend(rest);
            file = Executable::open(viewpoint, &line.interpreter)?;
            script = line.interpreter;
        }
        Err(LoadError {
            errno: Errno::ELOOP,
            message: format!(
                "cannot run `{}`: scripts start each other",
                path.escape_ascii()
            ),
        })
    }

    fn of_binary(
        viewpoint: &Viewpoint,
        file: Executable,
        path: &[u8],
        argv: Vec<Vec<u8>>,
        env: Vec<Vec<u8>>,
    ) -> Result<Self, LoadError> {
        let program = Binary::read(file)?;
        let interpreter = match &program.image.interpreter {
            Some(path) => Some(Binary::read(Executable::open(viewpoint, path)?)?),
            None => None,
        };
        Ok(Self {
            program,
            interpreter,
            argv,
            env,
            is_script: false,
            path: path.to_vec(),
            run_as: RunAs::default(),
        })
    }

    /// The addresses that the program must have, if it cannot be put anywhere.
    pub(crate) fn fixed_place(&self) -> Option<Range<u64>> {
        let image = &self.program.image;
        (!image.is_relocatable).then(|| image.span())
    }

    /// The name of the program's first thread: the end of the path, cut.
    pub(crate) fn thread_name(&self) -> [u8; 16] {
        let file = self.path.rsplit(|&byte| byte == b'/').next();
        let file = file.unwrap_or_default();
        let mut name = [0; 16];
        let len = file.len().min(15);
        name[..len].copy_from_slice(&file[..len]);
        name
    }
}

impl Binary {
    fn read(file: Executable) -> Result<Self, LoadError> {
        let image = file.image()?;
        Ok(Self { file, image })
    }
}

impl Shebang {
    /// The first line of a file, if it is a script.
    fn read(file: &Executable) -> Result<Option<Self>, LoadError> {
        let mut bytes = [0; FIRST_LINE_BYTES as usize];
        let len = file.len_bytes().min(FIRST_LINE_BYTES) as usize;
        let bytes = &mut bytes[..len];
        file.read_exact(0, bytes)
            .map_err(|errno| file.refused(errno, "it cannot be read"))?;
        let Some(rest) = bytes.strip_prefix(b"#!") else {
            return Ok(None);
        };
        let is_cut = file.len_bytes() > FIRST_LINE_BYTES;
        let line = Self::parse(rest, is_cut);
        let line = line
            .ok_or_else(|| file.refused(Errno::ENOEXEC, "its first line names no interpreter"))?;
        Ok(Some(line))
    }

    /// Reads `INTERPRETER [ARGUMENT]`. A name that is cut is no name; an argument that is cut is
    /// taken as it is, as on Linux.
    fn parse(rest: &[u8], is_cut: bool) -> Option<Self> {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let end = rest.iter().position(|&byte| byte == b'\n' || byte == 0);
        let line = &rest[..end.unwrap_or(rest.len())];
        let start = line.iter().position(|byte| !is_blank(byte))?;
        let line = &line[start..];
        let (name, argument) = match line.iter().position(is_blank) {
            Some(at) => line.split_at(at),
            None if end.is_none() && is_cut => return None,
            None => (line, &line[line.len()..]),
        };
        let argument = argument.trim_ascii();
        Some(Self {
            interpreter: name.to_vec(),
            argument: (!argument.is_empty()).then(|| argument.to_vec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let parsed = Shebang::parse(line, false)?;
        Some((parsed.interpreter, parsed.argument))
    }

    #[test]
    fn a_first_line_has_an_interpreter_and_at_most_one_argument() {
        assert_eq!(parse(b"/bin/sh\necho"), Some((b"/bin/sh".to_vec(), None)));
        assert_eq!(
            parse(b" \t/usr/bin/env  -S a b \nx"),
            Some((b"/usr/bin/env".to_vec(), Some(b"-S a b".to_vec())))
        );
        assert_eq!(parse(b"/bin/sh"), Some((b"/bin/sh".to_vec(), None)));
        assert_eq!(parse(b"  \n/bin/sh"), None);
    }

    #[test]
    fn a_name_that_is_cut_is_no_name() {
        assert!(Shebang::parse(&[b'/'; 254], true).is_none());
        assert!(Shebang::parse(&[b'/'; 254], false).is_some());
    }
}
