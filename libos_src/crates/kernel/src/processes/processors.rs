//! `/proc/cpuinfo`: what `CPUID` tells programs, in words.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Answers `CPUID` for a leaf and a subleaf: `eax`, `ebx`, `ecx`, `edx`.
type Ask<'a> = &'a dyn Fn(u32, u32) -> [u32; 4];

const EAX: usize = 0;
const EBX: usize = 1;
const ECX: usize = 2;
const EDX: usize = 3;

/// Linux's names of the bits of a register, from bit 0 up; `-` is a bit without one.
struct Features {
    leaf: u32,
    subleaf: u32,
    register: usize,
    names: &'static str,
}

/// In the order in which Linux lists them (`asm/cpufeatures.h`).
const FEATURES: [Features; 9] = [
    Features {
        leaf: 1,
        subleaf: 0,
        register: EDX,
        names: "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - \
                dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe",
    },
    Features {
        leaf: 0x8000_0001,
        subleaf: 0,
        register: EDX,
        names: "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp \
                - lm 3dnowext 3dnow",
    },
    Features {
        leaf: 1,
        subleaf: 0,
        register: ECX,
        names: "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - \
                pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c \
                rdrand hypervisor",
    },
    Features {
        leaf: 0x8000_0001,
        subleaf: 0,
        register: ECX,
        names: "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs \
                xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - \
                bpext ptsc perfctr_llc mwaitx",
    },
    Features {
        leaf: 7,
        subleaf: 0,
        register: EBX,
        names: "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a \
                avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf \
                avx512er avx512cd sha_ni avx512bw avx512vl",
    },
    Features {
        leaf: 0xd,
        subleaf: 1,
        register: EAX,
        names: "xsaveopt xsavec xgetbv1 xsaves",
    },
    Features {
        leaf: 7,
        subleaf: 1,
        register: EAX,
        names: "- - - - avx_vnni avx512_bf16",
    },
    Features {
        leaf: 7,
        subleaf: 0,
        register: ECX,
        names: "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni \
                avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote \
                - movdiri movdir64b enqcmd",
    },
    Features {
        leaf: 7,
        subleaf: 0,
        register: EDX,
        names: "- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - md_clear - - - \
                serialize - tsxldtrk - pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 \
                - - flush_l1d",
    },
];

/// A paragraph for each of `count` processors, which are cores of one package.
pub(super) fn text(ask: Ask<'_>, count: u32) -> String {
    let [last, ..] = ask(0, 0);
    let [signature, details, ..] = ask(1, 0);
    let (family, model, stepping) = version(signature);
    // Leaf 16H: the base frequency in MHz, which not every CPU tells.
    let megahertz = if last >= 0x16 {
        ask(0x16, 0)[EAX] & 0xffff
    } else {
        0
    };
    let line_bytes = (details >> 8 & 0xff) * 8;
    let [sizes, ..] = ask(0x8000_0008, 0);
    let (vendor, name, flags) = (vendor(ask), name(ask), flags(ask));
    let cache = cache_kilobytes(ask);
    let mut text = String::new();
    for cpu in 0..count {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "processor\t: {cpu}\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\n\
             model name\t: {name}\nstepping\t: {stepping}\ncpu MHz\t\t: {megahertz}.000\n\
             cache size\t: {cache} KB\nphysical id\t: 0\nsiblings\t: {count}\ncore id\t\t: {cpu}\n\
             cpu cores\t: {count}\napicid\t\t: {cpu}\ninitial apicid\t: {cpu}\nfpu\t\t: yes\n\
             fpu_exception\t: yes\ncpuid level\t: {last}\nwp\t\t: yes\nflags\t\t:{flags}\nbugs\t\t:\n\
             bogomips\t: {}.00\nclflush size\t: {line_bytes}\ncache_alignment\t: {line_bytes}\n\
             address sizes\t: {} bits physical, {} bits virtual\npower management:\n\n",
            megahertz * 2,
            sizes & 0xff,
            sizes >> 8 & 0xff,
        );
    }
    text
}

/// Family, model and stepping (SDM volume 2, "CPUID", leaf 1).
const fn version(signature: u32) -> (u32, u32, u32) {
    let (low_family, low_model) = (signature >> 8 & 0xf, signature >> 4 & 0xf);
    let family = if low_family == 0xf {
        low_family + (signature >> 20 & 0xff)
    } else {
        low_family
    };
    let model = if low_family == 6 || low_family == 0xf {
        low_model | (signature >> 12 & 0xf0)
    } else {
        low_model
    };
    (family, model, signature & 0xf)
}

fn vendor(ask: Ask<'_>) -> String {
    let registers = ask(0, 0);
    words([registers[EBX], registers[EDX], registers[ECX]])
}

fn name(ask: Ask<'_>) -> String {
    let leaves = (0x8000_0002..=0x8000_0004).flat_map(|leaf| ask(leaf, 0));
    let name = words(leaves);
    let name = name.trim();
    String::from(if name.is_empty() { "unknown" } else { name })
}

/// Text in registers: printable ASCII, since it is the host's word.
fn words(registers: impl IntoIterator<Item = u32>) -> String {
    let bytes = registers.into_iter().flat_map(u32::to_le_bytes);
    let bytes = bytes.take_while(|&byte| byte != 0).map(char::from);
    bytes
        .map(|byte| if matches!(byte, ' '..='~') { byte } else { '?' })
        .collect()
}

fn flags(ask: Ask<'_>) -> String {
    let mut text = String::new();
    for features in FEATURES {
        let bits = ask(features.leaf, features.subleaf)[features.register];
        let names = features.names.split_ascii_whitespace().enumerate();
        for (_, name) in names.filter(|(bit, name)| bits & 1 << bit != 0 && *name != "-") {
            text.push_str(&format!(" {name}"));
        }
    }
    text
}

/// The largest cache: leaf 4 has all, extended leaf 6 has the second level.
fn cache_kilobytes(ask: Ask<'_>) -> u32 {
    let sizes: Vec<u32> = (0..6)
        .map(|subleaf| ask(4, subleaf))
        .take_while(|cache| cache[EAX] & 0x1f != 0)
        .map(|[_, shape, sets, _]| {
            let (ways, parts, line) = (shape >> 22, shape >> 12 & 0x3ff, shape & 0xfff);
            let bytes = u64::from(ways + 1) * u64::from(parts + 1) * u64::from(line + 1);
            (bytes * (u64::from(sets) + 1) / 1024) as u32
        })
        .collect();
    let largest = sizes.into_iter().max();
    largest.unwrap_or_else(|| ask(0x8000_0006, 0)[ECX] >> 16)
}

#[cfg(test)]
mod tests {
    use super::{FEATURES, text, version};

    #[test]
    fn a_processor_is_told_as_linux_tells_it() {
        let ask = |leaf, subleaf| match (leaf, subleaf) {
            (0, _) => [0x16, 0x756e_6547, 0x6c65_746e, 0x4965_6e69],
            (1, _) => [0x000a_0f11, 0x0800, 1 << 20, 1 << 26 | 1],
            (0x16, _) => [2600, 0, 0, 0],
            (0x8000_0002, _) => [
                u32::from_le_bytes(*b"A CP"),
                u32::from_le_bytes(*b"U\n\0\0"),
                0,
                0,
            ],
            (0x8000_0008, _) => [0x3030, 0, 0, 0],
            _ => [0; 4],
        };

        let found = text(&ask, 2);

        for line in [
            "vendor_id\t: GenuineIntel\n",
            "cpu family\t: 15\n",
            "model name\t: A CPU?\n",
            "cpu MHz\t\t: 2600.000\n",
            "flags\t\t: fpu sse2 sse4_2\n",
            "clflush size\t: 64\n",
            "address sizes\t: 48 bits physical, 48 bits virtual\n",
        ] {
            assert!(found.contains(line), "{line} is in {found}");
        }
        assert_eq!(found.matches("processor\t: ").count(), 2);
    }

    #[test]
    fn family_and_model_have_more_bits_where_the_manual_says_so() {
        assert_eq!(version(0x00a1_0f11), (25, 17, 1));
        assert_eq!(version(0x0008_06f8), (6, 0x8f, 8));
        assert_eq!(version(0x0000_0543), (5, 4, 3));
    }

    #[test]
    fn no_register_has_more_than_32_bits() {
        for features in FEATURES {
            assert!(features.names.split_ascii_whitespace().count() <= 32);
        }
    }
}
