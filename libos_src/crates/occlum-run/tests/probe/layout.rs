//! The probe as an enclave: laid out, measured and signed.

use abi::{Attributes, BootInfo, PAGE_SIZE, Permissions, SecInfo, Tcs, attributes, thread};
use sgx_image::SIG_STRUCT_BYTES;
use sha2::{Digest, Sha256};

use crate::elf::Elf;
use crate::signer::Draft;

const ENCLAVE_SIZE: u64 = 0x80_0000;
const USER_START: u64 = 0x1_0000;
const USER_SIZE: u64 = 0x10_0000;
const LIBOS_START: u64 = 0x20_0000;
const CONFIG_START: u64 = 0x40_0000;
const THREADS_START: u64 = 0x41_0000;
const THREAD_STRIDE: u64 = 0x2_0000;
const THREAD_COUNT: u64 = 4;
const KERNEL_STACK_SIZE: u64 = 0x1_0000;
const EXCEPTION_STACK_SIZE: u64 = 0x4000;
const HEAP_START: u64 = 0x60_0000;
const HEAP_SIZE: u64 = 0x10_0000;

/// Where the program's memory comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    Sgx1,
    Edmm,
}

/// An enclave that nobody has signed yet.
pub(crate) struct Enclave {
    pub(crate) stream: Vec<u8>,
    pub(crate) attributes: Attributes,
}

impl Enclave {
    pub(crate) fn new(file: &[u8], model: Model) -> Self {
        Self::with(file, model, b"")
    }

    /// One that has this for a sealed configuration.
    pub(crate) fn with(file: &[u8], model: Model, config: &[u8]) -> Self {
        let elf = Elf::load(file, LIBOS_START);
        let mut stream = Stream::new();
        if model == Model::Sgx1 {
            stream.zeros(USER_START, USER_SIZE, Permissions::RWX);
        }
        for segment in &elf.segments {
            let bits = segment.flags;
            let permissions = (bits >> 2 & 1) | (bits & 2) | (bits & 1) << 2;
            let size = segment.memory_size.next_multiple_of(PAGE_SIZE);
            let secinfo = SecInfo::regular(Permissions::from_bits_truncated(permissions as u8));
            stream.measured(segment.address, size, &segment.data, secinfo);
        }
        let r = SecInfo::regular(Permissions::R);
        stream.measured(
            CONFIG_START,
            PAGE_SIZE,
            &boot_info(elf.entry, model, config),
            r,
        );
        for index in 0..THREAD_COUNT {
            thread_block(&mut stream, index, elf.entry);
        }
        stream.zeros(HEAP_START, HEAP_SIZE, Permissions::RW);
        Self {
            stream: stream.0,
            attributes: Attributes {
                flags: Attributes::MODE64BIT | Attributes::DEBUG,
                xfrm: Attributes::XFRM_LEGACY,
            },
        }
    }

    /// A SIGSTRUCT that fits the enclave.
    pub(crate) fn sigstruct(&self) -> [u8; SIG_STRUCT_BYTES] {
        let mask = Attributes {
            flags: u64::MAX,
            xfrm: !(Attributes::XFRM_AVX | Attributes::XFRM_AVX512),
        };
        let signed = Draft::new()
            .with(900, &attributes::MISC_EXINFO.to_le_bytes())
            .with(904, &u32::MAX.to_le_bytes())
            .with(928, &self.attributes.to_bytes())
            .with(944, &mask.to_bytes())
            .with(960, &Sha256::digest(&self.stream))
            .sign();
        *signed.as_bytes()
    }
}

/// The boot page, and the sealed configuration behind it.
fn boot_info(entry_address: u64, model: Model, config: &[u8]) -> Vec<u8> {
    let boot = BootInfo {
        magic: BootInfo::MAGIC,
        version: BootInfo::VERSION,
        enclave_size_bytes: ENCLAVE_SIZE,
        user_start: USER_START,
        user_size_bytes: USER_SIZE,
        libos_start: LIBOS_START,
        libos_size_bytes: CONFIG_START - LIBOS_START,
        config_start: CONFIG_START + size_of::<BootInfo>() as u64,
        config_size_bytes: config.len() as u64,
        threads_start: THREADS_START,
        thread_stride_bytes: THREAD_STRIDE,
        thread_count: THREAD_COUNT,
        heap_start: HEAP_START,
        heap_size_bytes: HEAP_SIZE,
        memory_model: match model {
            Model::Sgx1 => BootInfo::MEMORY_SGX1,
            Model::Edmm => BootInfo::MEMORY_EDMM,
        },
        kernel_stack_size_bytes: KERNEL_STACK_SIZE,
        exception_stack_size_bytes: EXCEPTION_STACK_SIZE,
        entry_address,
        user_added_bytes: if model == Model::Sgx1 { USER_SIZE } else { 0 },
    };
    [&boot.to_bytes()[..], config].concat()
}

fn thread_block(stream: &mut Stream, index: u64, entry: u64) {
    let start = THREADS_START + index * THREAD_STRIDE;
    let page = start + thread::PAGE_OFFSET;
    let tcs = Tcs {
        ssa_offset: start + thread::SSA_OFFSET,
        ssa_count: thread::SSA_COUNT,
        entry_offset: entry,
        fs_offset: page,
        gs_offset: page,
        fs_limit: 0xfff,
        gs_limit: 0xfff,
        ..Tcs::default()
    };
    let kernel_stack = start + thread::KERNEL_STACK_OFFSET;
    let kernel_stack_top = kernel_stack + KERNEL_STACK_SIZE;
    let exception_stack = kernel_stack_top + PAGE_SIZE;
    let mut content = Vec::new();
    for word in [
        page,
        CONFIG_START,
        start,
        index,
        kernel_stack_top,
        exception_stack + EXCEPTION_STACK_SIZE,
    ] {
        content.extend(u64::to_le_bytes(word));
    }
    let rw = SecInfo::regular(Permissions::RW);
    let frames = u64::from(thread::SSA_COUNT) * PAGE_SIZE;
    stream.measured(start, PAGE_SIZE, &tcs.to_bytes(), SecInfo::TCS);
    stream.measured(start + thread::SSA_OFFSET, frames, &[], rw);
    stream.measured(page, PAGE_SIZE, &content, rw);
    stream.measured(kernel_stack, KERNEL_STACK_SIZE, &[], rw);
    stream.measured(exception_stack, EXCEPTION_STACK_SIZE, &[], rw);
}

/// An SGXS stream under construction.
struct Stream(Vec<u8>);

impl Stream {
    fn new() -> Self {
        let mut stream = Self(Vec::new());
        let mut fields = 1_u32.to_le_bytes().to_vec();
        fields.extend(ENCLAVE_SIZE.to_le_bytes());
        stream.record(b"ECREATE\0", &fields);
        stream
    }

    fn record(&mut self, tag: &[u8; 8], fields: &[u8]) {
        let end = self.0.len() + 64;
        self.0.extend(tag);
        self.0.extend(fields);
        self.0.resize(end, 0);
    }

    fn add(&mut self, offset: u64, secinfo: SecInfo) {
        let fields = [offset.to_le_bytes(), secinfo.flags.to_le_bytes()].concat();
        self.record(b"EADD\0\0\0\0", &fields);
    }

    fn zeros(&mut self, offset: u64, size: u64, permissions: Permissions) {
        for page in (offset..offset + size).step_by(PAGE_SIZE as usize) {
            self.add(page, SecInfo::regular(permissions));
        }
    }

    /// Pages that begin with `data` and go on with zeros.
    fn measured(&mut self, offset: u64, size: u64, data: &[u8], secinfo: SecInfo) {
        let mut content = data.to_vec();
        content.resize(size as usize, 0);
        for (page, bytes) in (offset..)
            .step_by(PAGE_SIZE as usize)
            .zip(content.chunks(PAGE_SIZE as usize))
        {
            self.add(page, secinfo);
            for (chunk, bytes) in (page..).step_by(256).zip(bytes.chunks(256)) {
                self.record(b"EEXTEND\0", &chunk.to_le_bytes());
                self.0.extend(bytes);
            }
        }
    }
}
