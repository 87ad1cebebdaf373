//! Shares of the root: `root.shared` holds it under a random key that people have in shares (R-ORG-25).

use std::path::{Path, PathBuf};

use chancery_crypto::secret::Secret;
use chancery_crypto::shamir::{MAX_SHARES, MIN_THRESHOLD};
use chancery_identity::OrgId;
use chancery_org::{Root, ShareError, join_root_key, split_root_key};
use chancery_store::{KeySource, StoreError, sealed_file};

use super::Folder;
use crate::clock;
use crate::error::{Error, ErrorCode, file};

pub use chancery_org::RootShare;

/// Name of the root's file that opens with shares, inside an organisation's folder. It may be copied anywhere.
pub const ROOT_SHARED: &str = "root.shared";

/// Reads a share from its text.
///
/// # Errors
///
/// [`ErrorCode::ShareDamaged`]: compare it with the paper. [`ErrorCode::ShareVersion`]: update.
pub fn parse_share(text: &str) -> Result<RootShare, Error> {
    RootShare::parse(text).map_err(share_error)
}

/// Checks all that [`split_root`] needs, and changes nothing.
///
/// # Errors
///
/// Those of [`split_root`].
pub fn check_split(dir: &Path, key: &KeySource, threshold: u8, shares: u8) -> Result<(), Error> {
    root_to_split(dir, key, threshold, shares).map(|_| ())
}

/// Writes `root.shared` under a new random key, and returns `shares` shares of that key, any `threshold` of which
/// open it.
///
/// `root.key` stays: call [`remove_root`] once the shares are in safe hands, or [`discard_shares`] if that failed.
///
/// # Errors
///
/// [`ErrorCode::Usage`] unless 2 ≤ `threshold` ≤ `shares` ≤ 16. [`ErrorCode::AlreadyExists`]: there is a
/// `root.shared`, and writing over it would make its shares worthless; remove it if that is what you want.
/// [`ErrorCode::FileNotFound`]: there is no `root.key`. [`ErrorCode::WrongPassphrase`]: ask again.
/// [`ErrorCode::RootNotNewest`]: it has a successor; bring that.
pub fn split_root(dir: &Path, key: &KeySource, threshold: u8, shares: u8) -> Result<Vec<RootShare>, Error> {
    let root = root_to_split(dir, key, threshold, shares)?;
    let path = Folder::new(dir).shared();
    let mut rng = clock::rng()?;
    let secret = Secret::random(&mut rng);
    let split =
        split_root_key(&secret, &root.org_id(), (threshold, shares), &mut rng).map_err(share_error)?;
    let secret = KeySource::KeyFile(secret);
    sealed_file::write(&path, &secret, root.to_secret_bytes().expose(), &mut rng)?;
    // Nobody shall trust shares that were never tried.
    let enough = split.get(..usize::from(threshold)).unwrap_or_default();
    let again = open_shared(&path, enough).ok().filter(|again| again.org_id() == root.org_id());
    if again.is_none() {
        discard_shares(dir)?;
        return Err(ErrorCode::Internal.into());
    }
    Ok(split)
}

/// Removes `root.key`, now that shares open `root.shared`. Whoever has an old copy of it and the passphrase has the
/// root still.
///
/// # Errors
///
/// [`ErrorCode::FileNotFound`]: one of the two files is not there, and nothing was removed.
pub fn remove_root(dir: &Path) -> Result<(), Error> {
    let folder = Folder::new(dir);
    if !folder.shared().exists() {
        return Err(Error::with(ErrorCode::FileNotFound, folder.shared().display().to_string()));
    }
    remove(&folder.root())
}

/// Removes `root.shared` while `root.key` is there, and with it the worth of its shares.
///
/// # Errors
///
/// [`ErrorCode::FileNotFound`]: one of the two files is not there, and nothing was removed.
pub fn discard_shares(dir: &Path) -> Result<(), Error> {
    let folder = Folder::new(dir);
    if !folder.root().exists() {
        return Err(Error::with(ErrorCode::FileNotFound, folder.root().display().to_string()));
    }
    remove(&folder.shared())
}

/// Checks all that [`join_root`] needs, and changes nothing.
///
/// # Errors
///
/// Those of [`join_root`].
pub fn check_join(dir: &Path, shares: &[RootShare]) -> Result<OrgId, Error> {
    root_to_join(&Folder::new(dir), shares).map(|root| root.org_id())
}

/// Opens `root.shared` with shares and writes `root.key` again, under `key`. The shares stay good.
///
/// # Errors
///
/// [`ErrorCode::AlreadyExists`]: there is a `root.key`. [`ErrorCode::FileNotFound`]: there is no `root.shared`.
/// [`ErrorCode::SharesTooFew`], [`ErrorCode::SharesMixed`], [`ErrorCode::ShareDoubled`]: bring others.
/// [`ErrorCode::SharesWrong`]: they are of another file, or forged. [`ErrorCode::RootNotNewest`]: they are of a root that
/// was replaced, and worth nothing; bring those of the newest.
pub fn join_root(dir: &Path, key: &KeySource, shares: &[RootShare]) -> Result<OrgId, Error> {
    let folder = Folder::new(dir);
    let root = root_to_join(&folder, shares)?;
    sealed_file::write(folder.root(), key, root.to_secret_bytes().expose(), &mut clock::rng()?)?;
    Ok(root.org_id())
}

fn root_to_join(folder: &Folder, shares: &[RootShare]) -> Result<Root, Error> {
    if folder.root().exists() {
        return Err(Error::with(ErrorCode::AlreadyExists, folder.root().display().to_string()));
    }
    let root = open_shared(&folder.shared(), shares)?;
    refuse_replaced(folder, &root, &folder.shared())?;
    Ok(root)
}

/// Refuses a root that is not the organisation's newest (R-ORG-61), where the organisation is known. Shares name eight bytes
/// of its identifier; the document has the whole keys.
fn refuse_replaced(folder: &Folder, root: &Root, path: &Path) -> Result<(), Error> {
    let Ok(organisation) = folder.organisation() else { return Ok(()) };
    if !organisation.has_root(root.verifying_key()) {
        return Err(Error::with(ErrorCode::WrongOrganisation, path.display().to_string()));
    }
    root.is_newest_of(&organisation).map_err(|_| {
        Error::with(ErrorCode::RootNotNewest, format!("{} is of a root that was replaced", path.display()))
    })
}

fn root_to_split(dir: &Path, key: &KeySource, threshold: u8, shares: u8) -> Result<Root, Error> {
    if threshold < MIN_THRESHOLD || threshold > shares || shares > MAX_SHARES {
        return Err(share_error(ShareError::OutOfRange));
    }
    let folder = Folder::new(dir);
    let path = folder.shared();
    if path.exists() {
        let what = format!("{}; without it its shares are worthless", path.display());
        return Err(Error::with(ErrorCode::AlreadyExists, what));
    }
    let root = read_root(&folder.root(), key)?;
    refuse_replaced(&folder, &root, &folder.root())?;
    Ok(root)
}

fn open_shared(path: &Path, shares: &[RootShare]) -> Result<Root, Error> {
    let key = KeySource::KeyFile(join_root_key(shares).map_err(share_error)?);
    let root = read_root(path, &key).map_err(|error| match error.code() {
        ErrorCode::WrongPassphrase => ErrorCode::SharesWrong.into(),
        _ => error,
    })?;
    let ours = shares.iter().all(|share| share.is_of(&root.org_id()));
    if ours { Ok(root) } else { Err(ErrorCode::SharesWrong.into()) }
}

fn read_root(path: &Path, key: &KeySource) -> Result<Root, Error> {
    let secret = sealed_file::read(path, key).map_err(|error| match error {
        StoreError::NotFound => Error::with(ErrorCode::FileNotFound, path.display().to_string()),
        error => error.into(),
    })?;
    Root::from_secret_bytes(secret.expose()).ok_or_else(|| ErrorCode::StoreDamaged.into())
}

/// Removes a file for good: also a power cut does not bring it back.
fn remove(path: &PathBuf) -> Result<(), Error> {
    let removed = std::fs::remove_file(path).and_then(|()| match path.parent() {
        Some(parent) if cfg!(unix) => std::fs::File::open(parent)?.sync_all(),
        _ => Ok(()),
    });
    removed.map_err(|error| file(&error, path))
}

fn share_error(error: ShareError) -> Error {
    match error {
        ShareError::UnsupportedVersion => ErrorCode::ShareVersion.into(),
        ShareError::OutOfRange => {
            let range = format!("at least {MIN_THRESHOLD} shares must be needed, of at most {MAX_SHARES}");
            Error::with(ErrorCode::Usage, range)
        }
        ShareError::TooFew { given, needed } => {
            Error::with(ErrorCode::SharesTooFew, format!("{given} of {needed}"))
        }
        ShareError::Mixed => ErrorCode::SharesMixed.into(),
        ShareError::Doubled => ErrorCode::ShareDoubled.into(),
        _ => ErrorCode::ShareDamaged.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> KeySource {
        KeySource::KeyFile(Secret::from_bytes([1; 32]))
    }

    fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
        result.unwrap_err().code()
    }

    #[test]
    fn a_root_is_split_removed_and_joined_again_r_org_25() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let founded = super::super::found(dir, "Acme", &key()).unwrap();
        let (root, shared) = (dir.join(super::super::ROOT_KEY), dir.join(ROOT_SHARED));
        check_split(dir, &key(), 2, 3).unwrap();
        assert!(!shared.exists());
        let shares = split_root(dir, &key(), 2, 3).unwrap();
        assert_eq!((shares.len(), root.exists()), (3, true));
        assert_eq!(code(split_root(dir, &key(), 2, 3)), ErrorCode::AlreadyExists);
        assert_eq!(code(join_root(dir, &key(), &shares)), ErrorCode::AlreadyExists, "root.key is there");
        remove_root(dir).unwrap();
        assert!(!root.exists());
        assert_eq!(code(discard_shares(dir)), ErrorCode::FileNotFound);
        assert!(shared.exists(), "the last form of the root is not discarded");
        assert_eq!(code(join_root(dir, &key(), &shares[..1])), ErrorCode::SharesTooFew);
        let new = KeySource::KeyFile(Secret::from_bytes([2; 32]));
        assert_eq!(join_root(dir, &new, &shares[1..]).unwrap(), founded.org_id);
        assert_eq!(read_root(&root, &new).unwrap().org_id(), founded.org_id);
        assert_eq!(code(read_root(&root, &key())), ErrorCode::WrongPassphrase);
        discard_shares(dir).unwrap();
        assert_eq!(code(remove_root(dir)), ErrorCode::FileNotFound);
        assert!(root.exists() && !shared.exists());
    }

    #[test]
    fn shares_of_another_split_of_the_same_root_do_not_open_it() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        super::super::found(dir, "Acme", &key()).unwrap();
        let old = split_root(dir, &key(), 2, 2).unwrap();
        discard_shares(dir).unwrap();
        let new = split_root(dir, &key(), 2, 2).unwrap();
        remove_root(dir).unwrap();
        assert_eq!(code(join_root(dir, &key(), &old)), ErrorCode::SharesWrong);
        let mixed: Vec<RootShare> = old.into_iter().take(1).chain(new.into_iter().skip(1)).collect();
        assert_eq!(code(join_root(dir, &key(), &mixed)), ErrorCode::SharesMixed);
        assert!(!dir.join(super::super::ROOT_KEY).exists());
    }
}
