//! A bundle: the directory that holds everything one enclave needs.

use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use sgx_image::SIG_STRUCT_BYTES;

use crate::RunError;

/// The version of `manifest.json` that this runner reads.
const MANIFEST_VERSION: u32 = 1;

/// The part of `manifest.json` that running needs. Unknown fields are for other readers.
#[derive(Debug, Deserialize)]
struct Manifest {
    version: u32,
    images: Vec<ImageEntry>,
}

#[derive(Debug, Deserialize)]
struct ImageEntry {
    name: String,
    index: usize,
    path: String,
}

/// A directory with `manifest.json`, `enclave.sgxs`, `enclave.sig` and `images/`.
///
/// It is a convenience of the host. The enclave trusts none of it: its own measurement names the
/// root hash of each image.
#[derive(Debug)]
pub struct Bundle {
    directory: PathBuf,
    images: Vec<PathBuf>,
}

impl Bundle {
    /// Reads the manifest. The other files are opened when they are needed.
    ///
    /// # Errors
    /// If the manifest is missing, of another version, or names files outside the bundle.
    pub fn open(directory: &Path) -> Result<Self, RunError> {
        let path = directory.join("manifest.json");
        let text = fs::read(&path).map_err(|error| RunError::bundle(&path, error))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| RunError::bundle(&path, error))?;
        if manifest.version != MANIFEST_VERSION {
            let problem = format!(
                "the manifest has version {}, this runner reads version {MANIFEST_VERSION}",
                manifest.version
            );
            return Err(RunError::bundle(&path, problem));
        }
        let images = image_paths(manifest.images).map_err(|why| RunError::bundle(&path, why))?;
        Ok(Self {
            directory: directory.to_owned(),
            images,
        })
    }

    /// The stream that makes the enclave.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn sgxs(&self) -> Result<File, RunError> {
        self.open_file(&self.sgxs_path())
    }

    /// Where the stream is.
    #[must_use]
    pub fn sgxs_path(&self) -> PathBuf {
        self.directory.join("enclave.sgxs")
    }

    /// The signature structure.
    ///
    /// # Errors
    /// If it cannot be read, or has another length than every SIGSTRUCT has.
    pub fn sig_struct(&self) -> Result<[u8; SIG_STRUCT_BYTES], RunError> {
        let path = self.directory.join("enclave.sig");
        let bytes = fs::read(&path).map_err(|error| RunError::bundle(&path, error))?;
        let length = bytes.len();
        <[u8; SIG_STRUCT_BYTES]>::try_from(bytes).map_err(|_| {
            let problem =
                format!("a SIGSTRUCT has {SIG_STRUCT_BYTES} bytes, this file has {length}");
            RunError::bundle(&path, problem)
        })
    }

    /// The file system images, in the order of their indices.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub fn images(&self) -> Result<Vec<File>, RunError> {
        self.images
            .iter()
            .map(|path| self.open_file(&self.directory.join(path)))
            .collect()
    }

    fn open_file(&self, path: &Path) -> Result<File, RunError> {
        File::open(path).map_err(|error| RunError::bundle(path, error))
    }
}

/// The images by index: every index from 0 once, every path inside the bundle.
fn image_paths(entries: Vec<ImageEntry>) -> Result<Vec<PathBuf>, String> {
    let count = entries.len();
    let mut paths: Vec<Option<PathBuf>> = vec![None; count];
    for entry in entries {
        let path = PathBuf::from(&entry.path);
        if !path
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(format!("image `{}` lies outside the bundle", entry.name));
        }
        match paths.get_mut(entry.index) {
            Some(slot @ None) => *slot = Some(path),
            _ => return Err(format!("image `{}` has no index of its own", entry.name)),
        }
    }
    Ok(paths.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::{ImageEntry, image_paths};

    fn entry(index: usize, path: &str) -> ImageEntry {
        ImageEntry {
            name: "root".to_owned(),
            index,
            path: path.to_owned(),
        }
    }

    #[test]
    fn images_come_in_the_order_of_their_indices() {
        let paths = image_paths(vec![entry(1, "images/b"), entry(0, "images/a")]).expect("legal");

        assert_eq!(
            paths,
            [std::path::Path::new("images/a"), "images/b".as_ref()]
        );
    }

    #[test]
    fn an_image_outside_the_bundle_is_refused() {
        assert!(image_paths(vec![entry(0, "../secret")]).is_err());
        assert!(image_paths(vec![entry(0, "/etc/passwd")]).is_err());
    }

    #[test]
    fn two_images_with_one_index_are_refused() {
        assert!(image_paths(vec![entry(0, "a"), entry(0, "b")]).is_err());
        assert!(image_paths(vec![entry(7, "a")]).is_err());
    }
}
