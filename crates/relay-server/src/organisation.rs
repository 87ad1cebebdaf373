//! The organisation's public file, read at the start and whenever it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chancery_identity::{IdentityError, OrgId, Organisation};
use chancery_wire::{Limit, decode};

use crate::ServerError;

/// The name of the file, an encoded `Organisation`.
const FILE: &str = "organisation.bin";

/// A file and what it looked like when it was last read.
#[derive(Debug)]
pub(crate) struct OrganisationFile {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
}

impl OrganisationFile {
    pub(crate) fn open(directory: &Path) -> Result<(Self, Organisation), ServerError> {
        let mut file = Self { path: directory.join(FILE), seen: None };
        file.seen = file.looks();
        let organisation = file.read(None)?;
        Ok((file, organisation))
    }

    /// Reads the file if it has changed; it must still be the same organisation's.
    pub(crate) fn changed(&mut self, expected: OrgId) -> Option<Result<Organisation, ServerError>> {
        let looks = self.looks();
        if looks.is_none() || looks == self.seen {
            return None;
        }
        self.seen = looks;
        Some(self.read(Some(expected)))
    }

    /// Has the file read again as if it had changed: what it said could not be used.
    pub(crate) const fn forget(&mut self) {
        self.seen = None;
    }

    fn read(&self, expected: Option<OrgId>) -> Result<Organisation, ServerError> {
        let bytes = fs::read(&self.path).map_err(|error| ServerError::OrganisationFile(error.kind()))?;
        let document = decode(&bytes, Limit::ORGANISATION)
            .map_err(|_| ServerError::Organisation(IdentityError::Malformed))?;
        Organisation::verify(document, expected).map_err(ServerError::Organisation)
    }

    fn looks(&self) -> Option<(SystemTime, u64)> {
        let metadata = fs::metadata(&self.path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }
}
