//! What the CPU says about its SGX.

use core::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};

use platform::{Capabilities, Error, Result};

/// CPUID leaf 12H (SDM, "Intel SGX Capability Enumeration Leaf"), sub-leaves 0 and 1.
struct SgxLeaves {
    capabilities: CpuidResult,
    attributes: CpuidResult,
}

/// The capabilities of the CPU this runs on; `dynamic_memory` is what the driver said.
pub(crate) fn of_this_machine(dynamic_memory: bool) -> Result<Capabilities> {
    const SGX_LEAF: u32 = 0x12;
    const FEATURES_LEAF: u32 = 7;
    const SGX: u32 = 1 << 2;
    if __cpuid(0).eax < SGX_LEAF || __cpuid_count(FEATURES_LEAF, 0).ebx & SGX == 0 {
        return Err(Error::Unsupported(
            "no SGX on this machine: CPUID does not report it",
        ));
    }
    let leaves = SgxLeaves {
        capabilities: __cpuid_count(SGX_LEAF, 0),
        attributes: __cpuid_count(SGX_LEAF, 1),
    };
    leaves.decode(dynamic_memory)
}

impl SgxLeaves {
    fn decode(&self, dynamic_memory: bool) -> Result<Capabilities> {
        const SGX1: u32 = 1 << 0;
        if self.capabilities.eax & SGX1 == 0 {
            return Err(Error::Unsupported(
                "SGX is present but the firmware has not enabled it",
            ));
        }
        let max_size_log2 = self.capabilities.edx >> 8 & 0xff;
        Ok(Capabilities {
            dynamic_memory,
            xfrm: u64::from(self.attributes.edx) << 32 | u64::from(self.attributes.ecx),
            misc_select: self.capabilities.ebx,
            max_size_bytes: 1_u64.checked_shl(max_size_log2).unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaf 12H of a CPU with SGX2, EXINFO and AVX-512.
    fn server_cpu() -> SgxLeaves {
        SgxLeaves {
            capabilities: CpuidResult {
                eax: 0x63,
                ebx: 1,
                ecx: 0,
                edx: 0x381f,
            },
            attributes: CpuidResult {
                eax: 0xf6,
                ebx: 0,
                ecx: 0x2e7,
                edx: 0,
            },
        }
    }

    #[test]
    fn a_server_cpu_is_described() {
        let expected = Capabilities {
            dynamic_memory: true,
            xfrm: 0x2e7,
            misc_select: 1,
            max_size_bytes: 1 << 56,
        };
        assert_eq!(server_cpu().decode(true), Ok(expected));
    }

    #[test]
    fn sgx_that_the_firmware_keeps_off_is_named() {
        let mut leaves = server_cpu();
        leaves.capabilities.eax = 0;
        let error = leaves.decode(false).expect_err("there is no SGX1");
        assert!(error.to_string().contains("firmware"), "{error}");
    }
}
