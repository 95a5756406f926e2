//! One enclave: ECREATE, EADD, EEXTEND, EINIT, and the changes that a kernel makes after.

use std::{
    collections::BTreeMap,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
    },
};

use abi::{PAGE_SIZE, SIGSTRUCT_SIZE, Tcs};
use einit::SecsIdentity;
use platform::{Enclave, Error, PageType, Permissions, Result, SecInfo, Secs};
use sgx_image::{EnclaveGeometry, Measurement, PAGE_BYTES, SigStruct};

use crate::{
    EncluMode, Interception, Options, cpu,
    epcm::Epcm,
    gate, intercept,
    memory::{FIRST_ADDRESS, Range},
    signals,
    thread::SimThread,
};

/// The enclave that signal handlers and gates work on. There is one: it starts at address 0.
static ACTIVE: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());

/// What the threads of an enclave share, and the signal handlers read.
pub(crate) struct Shared {
    pub(crate) range: Range,
    pub(crate) epcm: Epcm,
    pub(crate) options: Options,
    pub(crate) secs: Secs,
    pub(crate) interception: Interception,
    /// A seccomp filter is there only to count what the interception missed.
    pub(crate) seccomp_is_net: bool,
    pub(crate) threads: BTreeMap<u64, TcsState>,
    /// Where EADD put pages: runs of addresses, and whether they hold code that nobody writes to.
    pub(crate) added: Vec<(std::ops::Range<u64>, bool)>,
}

/// A thread control page: what it says, and what the CPU keeps in it.
pub(crate) struct TcsState {
    pub(crate) tcs: Tcs,
    pub(crate) busy: AtomicBool,
    pub(crate) cssa: AtomicU32,
}

impl Shared {
    /// The enclave of this process, from EINIT on.
    pub(crate) fn active() -> Option<&'static Self> {
        // SAFETY: set at EINIT to a value that is never freed.
        unsafe { ACTIVE.load(Ordering::Acquire).as_ref() }
    }

    /// Pages of read-only code, ascending if they were added so.
    pub(crate) fn code_pages(&self) -> impl Iterator<Item = u64> {
        let runs = self.added.iter().filter(|(_, is_code)| *is_code);
        runs.flat_map(|(run, _)| run.clone().step_by(PAGE_SIZE as usize))
    }

    fn note_added(&mut self, offset: u64, size_bytes: u64, secinfo: SecInfo) {
        let is_code = secinfo == SecInfo::regular(Permissions::RX);
        match self.added.last_mut() {
            Some((run, kind)) if run.end == offset && *kind == is_code => run.end += size_bytes,
            _ => self.added.push((offset..offset + size_bytes, is_code)),
        }
    }

    fn has_pages_in(&self, range: &std::ops::Range<u64>) -> bool {
        let mut runs = self.added.iter();
        runs.any(|(run, _)| run.start < range.end && range.start < run.end)
    }
}

/// An enclave in software.
pub struct SimEnclave {
    state: State,
}

enum State {
    Building {
        shared: Box<Shared>,
        measurement: Measurement,
    },
    Running {
        shared: Arc<Shared>,
        identity: Box<SecsIdentity>,
    },
    /// EINIT refused it: there is nothing left to do with it.
    Refused,
}

const NOT_RUNNING: Error = Error::Fault("the enclave has not passed EINIT");

impl SimEnclave {
    pub(crate) fn create(secs: &Secs, options: Options) -> Result<Self> {
        cpu::check()?;
        check_secs(secs)?;
        let interception = intercept::choose(options.interception, secs.size_bytes)?;
        let shared = Shared {
            range: Range::reserve(secs.size_bytes)?,
            epcm: Epcm::new(secs.size_bytes),
            options,
            secs: *secs,
            interception,
            seccomp_is_net: options.counts_escapes && interception != Interception::Seccomp,
            threads: BTreeMap::new(),
            added: Vec::new(),
        };
        let measurement = Measurement::create(EnclaveGeometry {
            ssa_frame_pages: secs.ssa_frame_pages,
            size_bytes: secs.size_bytes,
        });
        Ok(Self {
            state: State::Building {
                shared: Box::new(shared),
                measurement,
            },
        })
    }

    /// Who the enclave is, after EINIT.
    #[must_use]
    pub fn identity(&self) -> Option<&SecsIdentity> {
        match &self.state {
            State::Running { identity, .. } => Some(identity),
            _ => None,
        }
    }

    fn building(&mut self) -> Result<(&mut Shared, &mut Measurement)> {
        match &mut self.state {
            State::Building {
                shared,
                measurement,
            } => Ok((shared, measurement)),
            _ => Err(Error::Fault("EADD after EINIT")),
        }
    }

    fn running(&self) -> Result<&Arc<Shared>> {
        match &self.state {
            State::Running { shared, .. } => Ok(shared),
            _ => Err(NOT_RUNNING),
        }
    }
}

/// What ECREATE refuses, and what this platform cannot do.
fn check_secs(secs: &Secs) -> Result<()> {
    let rules = [
        (
            secs.base_address == 0,
            "an enclave that does not start at address 0",
        ),
        (
            secs.size_bytes.is_power_of_two() && secs.size_bytes > FIRST_ADDRESS,
            "a size that is no power of two",
        ),
        (
            secs.size_bytes <= 1 << 40,
            "an enclave larger than one tebibyte",
        ),
        (
            secs.ssa_frame_pages == 1,
            "SSA frames of other than one page",
        ),
        (
            secs.misc_select & !abi::attributes::MISC_EXINFO == 0,
            "MISCSELECT bits other than EXINFO",
        ),
        (secs.cet_attributes == 0, "CET"),
        (
            secs.attributes.xfrm & abi::Attributes::XFRM_LEGACY == abi::Attributes::XFRM_LEGACY
                && secs.attributes.xfrm & !abi::Attributes::XFRM_ALLOWED == 0
                && secs.attributes.xfrm & !cpu::enabled_state() == 0,
            "XFRM bits that this CPU or one SSA page cannot hold",
        ),
        (
            secs.attributes.flags & abi::Attributes::MODE64BIT != 0,
            "an enclave of 32 bits",
        ),
        (
            secs.attributes.flags & abi::Attributes::INIT == 0,
            "ATTRIBUTES.INIT set at ECREATE",
        ),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(Error::Unsupported(what)),
        None => Ok(()),
    }
}

/// What EADD refuses about a SECINFO.
fn check_secinfo(secinfo: SecInfo) -> Result<()> {
    const KNOWN: u64 = 0xff07;
    let permissions = secinfo.permissions();
    let legal = match secinfo.page_type() {
        Some(PageType::Regular) => {
            !permissions.contains(Permissions::W) || permissions.contains(Permissions::R)
        }
        Some(PageType::Tcs) => permissions == Permissions::NONE,
        _ => false,
    };
    if legal && secinfo.flags & !KNOWN == 0 {
        Ok(())
    } else {
        Err(Error::Fault("EADD with a SECINFO that is not legal"))
    }
}

fn check_range(shared: &Shared, offset: u64, size_bytes: u64) -> Result<()> {
    let aligned = offset.is_multiple_of(PAGE_SIZE) && size_bytes.is_multiple_of(PAGE_SIZE);
    if aligned && shared.range.contains(offset, size_bytes) {
        Ok(())
    } else {
        Err(Error::Fault(
            "pages outside the enclave, or not whole pages",
        ))
    }
}

fn pages(offset: u64, size_bytes: u64) -> impl Iterator<Item = u64> {
    (offset..offset + size_bytes).step_by(PAGE_SIZE as usize)
}

impl Enclave for SimEnclave {
    type Thread = SimThread;

    fn add_pages(
        &mut self,
        offset: u64,
        data: &[u8],
        secinfo: SecInfo,
        measure: bool,
    ) -> Result<()> {
        let (shared, measurement) = self.building()?;
        check_range(shared, offset, data.len() as u64)?;
        check_secinfo(secinfo)?;
        shared.note_added(offset, data.len() as u64, secinfo);
        let (chunks, _) = data.as_chunks::<PAGE_BYTES>();
        for (page, content) in pages(offset, data.len() as u64).zip(chunks) {
            let is_tcs = secinfo.page_type() == Some(PageType::Tcs);
            let tcs = is_tcs.then(|| read_tcs(content)).transpose()?;
            if !shared.epcm.add(page, secinfo) {
                return Err(Error::Fault("EADD of a page that is there already"));
            }
            if let Some(tcs) = tcs {
                shared.threads.insert(page, tcs);
            }
            if measure {
                measurement.add_measured(page, secinfo, content);
            } else {
                measurement.add(page, secinfo);
            }
        }
        shared.range.write(offset, data);
        Ok(())
    }

    fn add_zero_pages(&mut self, offset: u64, len_bytes: u64, secinfo: SecInfo) -> Result<()> {
        let (shared, measurement) = self.building()?;
        check_range(shared, offset, len_bytes)?;
        check_secinfo(secinfo)?;
        if secinfo.page_type() != Some(PageType::Regular) {
            return Err(Error::Fault(
                "EADD of a thread control page without content",
            ));
        }
        shared.note_added(offset, len_bytes, secinfo);
        for page in pages(offset, len_bytes) {
            if !shared.epcm.add(page, secinfo) {
                return Err(Error::Fault("EADD of a page that is there already"));
            }
            measurement.add(page, secinfo);
        }
        // The range is zero from the start, and takes memory only when it is touched.
        Ok(())
    }

    fn init(&mut self, sigstruct: &[u8; SIGSTRUCT_SIZE]) -> Result<()> {
        let State::Building {
            shared,
            measurement,
        } = std::mem::replace(&mut self.state, State::Refused)
        else {
            return Err(Error::Fault(
                "EINIT of an enclave that is initialised or refused",
            ));
        };
        let sigstruct = SigStruct::try_from(&sigstruct[..])
            .map_err(|_| Error::Fault("a SIGSTRUCT of the wrong size"))?;
        let identity = einit::check(&shared.secs, &sigstruct, measurement.finish())?;
        // From here on the page tables allow what `map` says, and nothing else.
        let size = shared.epcm.size_bytes();
        shared
            .range
            .protect(FIRST_ADDRESS, size - FIRST_ADDRESS, Permissions::NONE)?;
        if shared.options.enclu == EncluMode::Patched {
            gate::install(&shared)?;
        }
        if shared.seccomp_is_net || shared.interception == Interception::Seccomp {
            intercept::install_filter(size)?;
        }
        signals::take_over(shared.options.interrupt_period.is_some())?;
        let shared = Arc::<Shared>::from(shared);
        // The handlers may meet the enclave until the process ends, so it is never freed.
        ACTIVE.store(
            Arc::into_raw(Arc::clone(&shared)).cast_mut(),
            Ordering::Release,
        );
        self.state = State::Running {
            shared,
            identity: Box::new(identity),
        };
        Ok(())
    }

    fn map(&self, offset: u64, len_bytes: u64, permissions: Permissions) -> Result<()> {
        let shared = self.running()?;
        check_range(shared, offset, len_bytes)?;
        let range = offset..offset + len_bytes;
        if !shared.has_pages_in(&range) && shared.epcm.map_absent(range, permissions) {
            // The page tables allow nothing of pages that are not there, and already do not.
            return Ok(());
        }
        apply(shared, offset, len_bytes, |page| {
            Ok(shared.epcm.map(page, permissions).access())
        })
        .map(drop)
    }

    fn restrict_permissions(
        &self,
        offset: u64,
        len_bytes: u64,
        permissions: Permissions,
    ) -> Result<u64> {
        let shared = self.running()?;
        check_range(shared, offset, len_bytes)?;
        apply(shared, offset, len_bytes, |page| {
            Ok(shared.epcm.restrict(page, permissions)?.access())
        })
    }

    fn modify_type(&self, offset: u64, len_bytes: u64, page_type: PageType) -> Result<u64> {
        let shared = self.running()?;
        check_range(shared, offset, len_bytes)?;
        apply(shared, offset, len_bytes, |page| {
            Ok(shared.epcm.modify_type(page, page_type)?.access())
        })
    }

    fn remove_pages(&self, offset: u64, len_bytes: u64) -> Result<u64> {
        let shared = self.running()?;
        check_range(shared, offset, len_bytes)?;
        for page in pages(offset, len_bytes) {
            shared.epcm.remove(page)?;
        }
        shared.range.discard(offset, len_bytes)?;
        Ok(len_bytes)
    }

    fn attach_thread(&self, tcs_offset: u64) -> Result<SimThread> {
        SimThread::attach(self.running()?, tcs_offset)
    }
}

/// Changes each page's entry, and then the page tables, in runs of equal access.
fn apply(
    shared: &Shared,
    offset: u64,
    size_bytes: u64,
    change: impl Fn(u64) -> Result<Permissions>,
) -> Result<u64> {
    let mut run: Option<(u64, Permissions)> = None;
    let mut result = Ok(size_bytes);
    let mut end = offset + size_bytes;
    for page in pages(offset, size_bytes) {
        let access = match change(page) {
            Ok(access) => access,
            Err(error) => {
                end = page;
                result = Err(error);
                break;
            }
        };
        match run {
            Some((_, current)) if current == access => {}
            _ => {
                if let Some((start, current)) = run {
                    shared.range.protect(start, page - start, current)?;
                }
                run = Some((page, access));
            }
        }
    }
    if let Some((start, current)) = run {
        shared.range.protect(start, end - start, current)?;
    }
    result
}

fn read_tcs(content: &[u8; PAGE_BYTES]) -> Result<TcsState> {
    let (fields, reserved) = content
        .split_first_chunk::<{ size_of::<Tcs>() }>()
        .ok_or(Error::Fault("a short page"))?;
    let tcs = Tcs::from_bytes(fields);
    let aligned = [tcs.ssa_offset, tcs.fs_offset, tcs.gs_offset]
        .iter()
        .all(|offset| offset.is_multiple_of(PAGE_SIZE));
    let clean = tcs.state == 0 && tcs.aep == 0 && tcs.current_ssa == 0 && tcs.flags & !1 == 0;
    if !aligned || !clean || tcs.ssa_count == 0 || reserved.iter().any(|byte| *byte != 0) {
        return Err(Error::Fault(
            "EADD of a TCS with reserved or misaligned fields",
        ));
    }
    Ok(TcsState {
        tcs,
        busy: AtomicBool::new(false),
        cssa: AtomicU32::new(0),
    })
}
