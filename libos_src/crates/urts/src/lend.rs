//! Serving OCALLs about files that the host lends.

use abi::host_files::HostChange;
use abi::ocall::Ocall;

use crate::host_files::HostFiles;
use crate::mailbox::{Mailbox, Request};

/// A reply: at least zero, or the positive error number.
type Reply = Result<u64, i32>;

/// Does what a request for files asks. Handles are 32 bits wide; the enclave gives no others.
pub(crate) fn serve(
    files: &HostFiles,
    mailbox: &mut Mailbox,
    call: Ocall,
    request: &Request,
) -> Reply {
    let [first, second, third, fourth, fifth, _] = request.arguments;
    let handle = first as u32;
    let status = match call {
        Ocall::HostRoot => files.root(&text(mailbox, 0, second), handle)?,
        Ocall::HostLookUp => files.look_up(handle, &text(mailbox, 0, second), third as u32)?,
        Ocall::HostStatus => files.status(handle)?,
        Ocall::HostCreate => {
            let name = text(mailbox, 0, second);
            let target = text(mailbox, second, fifth);
            files.create(handle, &name, fourth as u32, &target, third as u32)?
        }
        _ => return serve_content(files, mailbox, call, request),
    };
    leave(mailbox, &status.to_bytes());
    Ok(0)
}

/// Requests that do not end with a status.
fn serve_content(
    files: &HostFiles,
    mailbox: &mut Mailbox,
    call: Ocall,
    request: &Request,
) -> Reply {
    let [first, second, third, fourth, fifth, _] = request.arguments;
    let handle = first as u32;
    match call {
        Ocall::HostClose => files.close(handle),
        Ocall::HostOpen => files.open(handle, second != 0)?,
        Ocall::HostRead => return count(files.read(handle, second, mailbox.buffer(third))),
        Ocall::HostWrite => return count(files.write(handle, second, mailbox.buffer(third))),
        Ocall::HostTruncate => files.truncate(handle, second)?,
        Ocall::HostSync => files.synchronize(handle)?,
        Ocall::HostList => return count(files.list(handle, second, mailbox.buffer(third))),
        Ocall::HostLink => files.link(handle, &text(mailbox, 0, second), third as u32)?,
        Ocall::HostRemove => files.remove(handle, &text(mailbox, 0, second), third != 0)?,
        Ocall::HostRename => {
            let from = text(mailbox, 0, second);
            let to = text(mailbox, second, fourth);
            files.rename((handle, &from), (third as u32, &to), fifth as u32)?;
        }
        Ocall::HostReadLink => {
            let target = files.read_link(handle)?;
            if target.len() as u64 > second {
                return Err(libc::ENAMETOOLONG);
            }
            leave(mailbox, &target);
            return Ok(target.len() as u64);
        }
        Ocall::HostChange => {
            let bytes = text(mailbox, 0, HostChange::SIZE_BYTES as u64);
            let bytes = bytes.first_chunk().ok_or(libc::EINVAL)?;
            files.change(handle, &HostChange::from_bytes(bytes))?;
        }
        Ocall::HostSizes => {
            let sizes = files.sizes(handle)?;
            leave(mailbox, &sizes.to_bytes());
        }
        _ => return Err(libc::ENOSYS),
    }
    Ok(0)
}

/// Bytes of the buffer, copied: the enclave's other threads do not run in it, but the reply goes
/// there.
fn text(mailbox: &mut Mailbox, start: u64, length: u64) -> Vec<u8> {
    let end = start.saturating_add(length);
    let bytes = mailbox.buffer(end);
    bytes.get(start as usize..).unwrap_or_default().to_vec()
}

/// Puts a reply's bytes into the buffer, which has room for every reply.
fn leave(mailbox: &mut Mailbox, bytes: &[u8]) {
    mailbox.buffer(bytes.len() as u64).copy_from_slice(bytes);
}

fn count(done: Result<usize, i32>) -> Reply {
    done.map(|count| count as u64)
}
