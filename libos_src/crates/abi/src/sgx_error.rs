//! Error codes of SGX instructions.

use core::fmt;

macro_rules! sgx_errors {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// An error code that an SGX leaf returns in `rax`, SDM table "Error or Information Codes
        /// for Intel SGX Instructions". Faults (#GP, #PF) are not among them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum SgxError {
            $($(#[$doc])* $variant = $code,)*
        }

        impl SgxError {
            /// The error with this code, if the SDM lists one.
            #[must_use]
            pub const fn from_code(code: u64) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The SDM's name, for example `SGX_INVALID_SIGNATURE`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

sgx_errors! {
    /// A field of SIGSTRUCT is reserved, unknown or not allowed.
    InvalidSigStruct = 1, "SGX_INVALID_SIG_STRUCT";
    /// The attributes are not those that the signer allows, or not legal.
    InvalidAttribute = 2, "SGX_INVALID_ATTRIBUTE";
    /// The page is not in the right state for EBLOCK.
    BlockState = 3, "SGX_BLSTATE";
    /// The measurement is not the signed one.
    InvalidMeasurement = 4, "SGX_INVALID_MEASUREMENT";
    /// The page cannot be blocked.
    NotBlockable = 5, "SGX_NOTBLOCKABLE";
    /// The page is not valid.
    PageInvalid = 6, "SGX_PG_INVLD";
    /// Another instruction is using the page.
    PageConflict = 7, "SGX_EPC_PAGE_CONFLICT";
    /// The RSA signature is wrong.
    InvalidSignature = 8, "SGX_INVALID_SIGNATURE";
    /// A reloaded page has the wrong MAC.
    MacCompareFail = 9, "SGX_MAC_COMPARE_FAIL";
    /// The page was not blocked.
    PageNotBlocked = 10, "SGX_PAGE_NOT_BLOCKED";
    /// A thread may still use an old translation of the page.
    NotTracked = 11, "SGX_NOT_TRACKED";
    /// The version slot is taken.
    VersionSlotOccupied = 12, "SGX_VA_SLOT_OCCUPIED";
    /// The SECS still has pages.
    ChildPresent = 13, "SGX_CHILD_PRESENT";
    /// A thread is still inside.
    EnclaveActive = 14, "SGX_ENCLAVE_ACT";
    /// The entry epoch is locked.
    EntryEpochLocked = 15, "SGX_ENTRYEPOCH_LOCKED";
    /// The launch token is wrong, or the signer is not the launch authority.
    InvalidEinitToken = 16, "SGX_INVALID_EINITTOKEN";
    /// The previous tracking cycle is not complete.
    PreviousTrackIncomplete = 17, "SGX_PREV_TRK_INCMPL";
    /// The page is a SECS.
    PageIsSecs = 18, "SGX_PG_IS_SECS";
    /// The page is not what SECINFO says.
    PageAttributesMismatch = 19, "SGX_PAGE_ATTRIBUTES_MISMATCH";
    /// The page is in a state that forbids a change.
    PageNotModifiable = 20, "SGX_PAGE_NOT_MODIFIABLE";
    /// The page may not be read by a debugger.
    PageNotDebuggable = 21, "SGX_PAGE_NOT_DEBUGGABLE";
    /// The CPU's security version is too new.
    InvalidCpuSvn = 32, "SGX_INVALID_CPUSVN";
    /// The enclave's security version is too new.
    InvalidIsvSvn = 64, "SGX_INVALID_ISVSVN";
    /// An interrupt came first; try again.
    UnmaskedEvent = 128, "SGX_UNMASKED_EVENT";
    /// The key is not one that EGETKEY knows.
    InvalidKeyName = 256, "SGX_INVALID_KEYNAME";
}

impl fmt::Display for SgxError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl core::error::Error for SgxError {}
