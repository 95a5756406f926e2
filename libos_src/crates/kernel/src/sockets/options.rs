//! Options of sockets (socket(7)).

use core::time::Duration;

use hal::Errno;

use crate::threads::duration_of;

/// What a program sets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// Reading gives up after this time.
    pub(crate) receive_timeout: Option<Duration>,
    /// Writing gives up after this time.
    pub(crate) send_timeout: Option<Duration>,
    /// `SO_PASSCRED`: messages come with who sent them.
    pub(crate) passes_credentials: bool,
    /// `SO_SNDBUF` and `SO_RCVBUF`.
    pub(crate) send_bytes: Option<u32>,
    pub(crate) receive_bytes: Option<u32>,
    /// `SO_LINGER`, which a unix socket keeps and ignores.
    linger: [u32; 2],
    /// Those that are only kept, as bits by number.
    kept: u64,
    priority: u32,
    low_water: Option<u32>,
}

/// The value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionValue {
    /// An `int`.
    Number(u32),
    /// A `struct linger`.
    Linger([u32; 2]),
    /// A `struct timeval`, in seconds and microseconds.
    Time([i64; 2]),
}

/// What a socket may have on its way, unless it is told otherwise: as Linux.
pub(super) const DEFAULT_BYTES: u32 = 212_992;
const SMALLEST_BYTES: u32 = 4608;
const SMALLEST_RECEIVE_BYTES: u32 = 2304;
/// Linux's `wmem_max` is the default; a little more does no harm.
const LARGEST_BYTES: u32 = 1 << 20;

const SO_DEBUG: u32 = 1;
const SO_REUSEADDR: u32 = 2;
const SO_DONTROUTE: u32 = 5;
const SO_BROADCAST: u32 = 6;
const SO_SNDBUF: u32 = 7;
const SO_RCVBUF: u32 = 8;
const SO_KEEPALIVE: u32 = 9;
const SO_OOBINLINE: u32 = 10;
const SO_PRIORITY: u32 = 12;
const SO_LINGER: u32 = 13;
const SO_REUSEPORT: u32 = 15;
const SO_PASSCRED: u32 = 16;
const SO_RCVLOWAT: u32 = 18;
const SO_RCVTIMEO: u32 = 20;
const SO_SNDTIMEO: u32 = 21;
const SO_TIMESTAMP: u32 = 29;
const SO_SNDBUFFORCE: u32 = 32;
const SO_RCVBUFFORCE: u32 = 33;
const SO_PASSSEC: u32 = 34;
const SO_RCVTIMEO_NEW: u32 = 66;
const SO_SNDTIMEO_NEW: u32 = 67;

impl Options {
    /// How many bytes of the value of an option count; `None` if it cannot be set.
    pub(crate) const fn size_bytes(option: u32) -> Option<usize> {
        match option {
            SO_RCVTIMEO | SO_SNDTIMEO | SO_RCVTIMEO_NEW | SO_SNDTIMEO_NEW => Some(16),
            SO_LINGER => Some(8),
            SO_DEBUG | SO_REUSEADDR | SO_DONTROUTE | SO_BROADCAST | SO_SNDBUF | SO_RCVBUF
            | SO_KEEPALIVE | SO_OOBINLINE | SO_PRIORITY | SO_REUSEPORT | SO_PASSCRED
            | SO_RCVLOWAT | SO_TIMESTAMP | SO_SNDBUFFORCE | SO_RCVBUFFORCE | SO_PASSSEC => Some(4),
            _ => None,
        }
    }

    /// Sets an option to the start of `value`, which is as long as it must be.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, `EDOM` for a time that is none.
    pub(crate) fn set(&mut self, option: u32, value: &[u8]) -> Result<(), Errno> {
        let number = value
            .first_chunk()
            .map_or(0, |bytes| u32::from_le_bytes(*bytes));
        match option {
            SO_SNDBUF | SO_SNDBUFFORCE => {
                self.send_bytes = Some(buffer_bytes(number, SMALLEST_BYTES));
            }
            SO_RCVBUF | SO_RCVBUFFORCE => {
                self.receive_bytes = Some(buffer_bytes(number, SMALLEST_RECEIVE_BYTES));
            }
            SO_PASSCRED => self.passes_credentials = number != 0,
            SO_PRIORITY => self.priority = number,
            SO_RCVLOWAT => self.low_water = Some(number.max(1)),
            SO_LINGER => {
                let seconds = value.last_chunk().map_or(0, |it| u32::from_le_bytes(*it));
                self.linger = [u32::from(number != 0), seconds];
            }
            SO_RCVTIMEO | SO_RCVTIMEO_NEW => self.receive_timeout = time_of(value)?,
            SO_SNDTIMEO | SO_SNDTIMEO_NEW => self.send_timeout = time_of(value)?,
            _ if Self::size_bytes(option).is_some() => {
                let bit = 1 << option;
                self.kept = self.kept & !bit | if number == 0 { 0 } else { bit };
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// The value of an option that can be set.
    ///
    /// # Errors
    /// `ENOPROTOOPT`.
    pub(crate) fn get(&self, option: u32) -> Result<OptionValue, Errno> {
        Ok(match option {
            SO_SNDBUF => OptionValue::Number(self.send_bytes.unwrap_or(DEFAULT_BYTES)),
            SO_RCVBUF => OptionValue::Number(self.receive_bytes.unwrap_or(DEFAULT_BYTES)),
            SO_PASSCRED => OptionValue::Number(self.passes_credentials.into()),
            SO_PRIORITY => OptionValue::Number(self.priority),
            SO_RCVLOWAT => OptionValue::Number(self.low_water.unwrap_or(1)),
            SO_LINGER => OptionValue::Linger(self.linger),
            SO_RCVTIMEO | SO_RCVTIMEO_NEW => record_of(self.receive_timeout),
            SO_SNDTIMEO | SO_SNDTIMEO_NEW => record_of(self.send_timeout),
            SO_SNDBUFFORCE | SO_RCVBUFFORCE => return Err(Errno::ENOPROTOOPT),
            _ if Self::size_bytes(option).is_some() => {
                OptionValue::Number((self.kept >> option & 1) as u32)
            }
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }
}

/// Linux doubles what is asked for, for its own books; programs know that.
fn buffer_bytes(asked: u32, smallest: u32) -> u32 {
    asked.saturating_mul(2).clamp(smallest, LARGEST_BYTES)
}

/// Zero means for ever.
fn time_of(value: &[u8]) -> Result<Option<Duration>, Errno> {
    let (seconds, rest) = value.split_first_chunk().ok_or(Errno::EINVAL)?;
    let micros = rest.first_chunk().ok_or(Errno::EINVAL)?;
    let (seconds, micros) = (i64::from_le_bytes(*seconds), i64::from_le_bytes(*micros));
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::EDOM);
    }
    if seconds < 0 {
        return Ok(Some(Duration::from_nanos(1)));
    }
    let time = duration_of(seconds, micros * 1000)?;
    Ok((!time.is_zero()).then_some(time))
}

fn record_of(time: Option<Duration>) -> OptionValue {
    let time = time.unwrap_or_default();
    OptionValue::Time([time.as_secs().cast_signed(), time.subsec_micros().into()])
}
