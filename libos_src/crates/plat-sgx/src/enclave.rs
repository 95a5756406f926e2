//! One enclave of the driver.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abi::{Attributes, PAGE_SIZE, PageType, Permissions, SIGSTRUCT_SIZE, SecInfo, Secs};
use platform::{Enclave, Error, Result};
use sgx_image::{EnclaveGeometry, Measurement, SigStruct};

use crate::device::{Device, Page, refused};
use crate::entry::EnterFunction;
use crate::range::Range;
use crate::thread::SgxThread;

/// Pages that are handed to the driver at once, and so the size of the copy of them.
const STAGED_PAGES: usize = 64;

/// An enclave in the processor's own memory.
pub struct SgxEnclave {
    shared: Arc<Shared>,
    enter: EnterFunction,
    /// What the enclave was created from, and the measurement that the CPU has by now: what it
    /// takes to say why EINIT refused.
    secs: Box<Secs>,
    measurement: Measurement,
    /// The driver reads from aligned memory; what callers have is not.
    staged: Vec<Page>,
}

/// What the enclave's threads keep alive.
pub(crate) struct Shared {
    pub(crate) device: Device,
    pub(crate) range: Range,
    /// Each TCS page, and whether a host thread is attached to it.
    pub(crate) attached: Mutex<BTreeMap<u64, bool>>,
}

impl Shared {
    pub(crate) fn attached(&self) -> MutexGuard<'_, BTreeMap<u64, bool>> {
        // Each change is one assignment, so that a panic elsewhere leaves the map right.
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SgxEnclave {
    pub(crate) fn create(secs: &Secs, enter: EnterFunction) -> Result<Self> {
        let range = Range::reserve(secs.base_address, secs.size_bytes)?;
        let device = Device::open()?;
        device.create(secs)?;
        if secs.attributes.flags & Attributes::PROVISION_KEY != 0 {
            device.allow_provision_key()?;
        }
        let geometry = EnclaveGeometry {
            ssa_frame_pages: secs.ssa_frame_pages,
            size_bytes: secs.size_bytes,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                device,
                range,
                attached: Mutex::default(),
            }),
            enter,
            secs: Box::new(*secs),
            measurement: Measurement::create(geometry),
            staged: vec![Page([0; PAGE_SIZE as usize]); STAGED_PAGES],
        })
    }

    /// Copies pages to where the driver can read them, adds them, and measures as the CPU does.
    fn add_staged(
        &mut self,
        offset: u64,
        pages: &[[u8; PAGE_SIZE as usize]],
        sec_info: SecInfo,
        measure: bool,
    ) -> Result<()> {
        let staged = &mut self.staged[..pages.len()];
        for (staged, page) in staged.iter_mut().zip(pages) {
            staged.0 = *page;
        }
        self.shared
            .device
            .add_pages(offset, staged, sec_info, measure)?;
        for (page_offset, page) in (offset..).step_by(PAGE_SIZE as usize).zip(pages) {
            if measure {
                self.measurement.add_measured(page_offset, sec_info, page);
            } else {
                self.measurement.add(page_offset, sec_info);
            }
            if sec_info.page_type() == Some(PageType::Tcs) {
                self.shared.attached().insert(page_offset, false);
            }
        }
        Ok(())
    }

    /// What EINIT objected to. The kernel gives one errno for all of it, so the checks are repeated
    /// here; where they find nothing, the kernel's errno has to do.
    fn explain(&self, sig_struct: &[u8; SIGSTRUCT_SIZE], error: &io::Error) -> Error {
        let mr_enclave = self.measurement.clone().finish();
        let sig_struct = SigStruct::from_bytes(*sig_struct);
        match (
            error.raw_os_error(),
            einit::check(&self.secs, &sig_struct, mr_enclave),
        ) {
            (Some(libc::EPERM | libc::EINVAL), Err(sgx_error)) => Error::Refused(sgx_error),
            (Some(libc::EACCES), _) => refused(
                "initialise an enclave with privileged attributes (EINIT)",
                error,
            ),
            (Some(libc::EINVAL), Ok(_)) => refused(
                "initialise an enclave that must have what this CPU has not (EINIT)",
                error,
            ),
            _ => refused("initialise the enclave (EINIT)", error),
        }
    }
}

impl Enclave for SgxEnclave {
    type Thread = SgxThread;

    fn add_pages(
        &mut self,
        offset: u64,
        data: &[u8],
        secinfo: SecInfo,
        measure: bool,
    ) -> Result<()> {
        self.shared.range.checked(offset, data.len() as u64)?;
        let (pages, _) = data.as_chunks::<{ PAGE_SIZE as usize }>();
        let staging_bytes = STAGED_PAGES * PAGE_SIZE as usize;
        for (offset, pages) in (offset..)
            .step_by(staging_bytes)
            .zip(pages.chunks(STAGED_PAGES))
        {
            self.add_staged(offset, pages, secinfo, measure)?;
        }
        Ok(())
    }

    fn init(&mut self, sigstruct: &[u8; SIGSTRUCT_SIZE]) -> Result<()> {
        self.shared
            .device
            .init(sigstruct)
            .map_err(|error| self.explain(sigstruct, &error))
    }

    /// As the trait says. The driver lets no page be mapped with more than its SECINFO allows, and
    /// wants a TCS mapped for reading and writing, though its SECINFO allows neither.
    fn map(&self, offset: u64, len_bytes: u64, permissions: Permissions) -> Result<()> {
        let device = self.shared.device.descriptor();
        self.shared
            .range
            .map_enclave(offset, len_bytes, permissions, device)
    }

    fn restrict_permissions(
        &self,
        offset: u64,
        len_bytes: u64,
        permissions: Permissions,
    ) -> Result<u64> {
        self.shared.range.checked(offset, len_bytes)?;
        self.shared
            .device
            .restrict_permissions(offset, len_bytes, permissions)
    }

    fn modify_type(&self, offset: u64, len_bytes: u64, page_type: PageType) -> Result<u64> {
        self.shared.range.checked(offset, len_bytes)?;
        let done = self
            .shared
            .device
            .modify_types(offset, len_bytes, page_type)?;
        let mut attached = self.shared.attached();
        for page_offset in (offset..offset + done).step_by(PAGE_SIZE as usize) {
            match page_type {
                PageType::Tcs => attached.insert(page_offset, false),
                _ => attached.remove(&page_offset),
            };
        }
        Ok(done)
    }

    fn remove_pages(&self, offset: u64, len_bytes: u64) -> Result<u64> {
        self.shared.range.checked(offset, len_bytes)?;
        self.shared.device.remove_pages(offset, len_bytes)
    }

    fn attach_thread(&self, tcs_offset: u64) -> Result<SgxThread> {
        SgxThread::attach(Arc::clone(&self.shared), self.enter, tcs_offset)
    }
}
