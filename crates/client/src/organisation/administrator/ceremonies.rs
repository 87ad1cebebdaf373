//! Ceremonies: what needs the root's key (R-ORG-45).

use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_crypto::secret::SecretBytes;
use chancery_identity::{Capabilities, IssuerId, MemberId, Organisation};
use chancery_org::{Act, AdminError, Ceremony, Desk, DeskKeys, Root, capability_names, sole_capabilities};
use chancery_store::{KeySource, Store, sealed_file};
use chancery_wire::records::Batch;
use chancery_wire::{Unverified, proto};

use super::{Administrator, acts_error};
use crate::clock;
use crate::error::{Error, ErrorCode, file};
use crate::organisation::{Folder, ROOT_KEY, who};

/// Where the root's key is for the time of a ceremony.
#[derive(Debug, Clone, Copy)]
pub struct RootFile<'a> {
    /// The sealed file; `None` for `root.key` in the organisation's folder.
    pub file: Option<&'a Path>,
    /// What opens it.
    pub key: &'a KeySource,
}

/// An issuer that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewIssuer {
    /// Its identifier.
    pub id: IssuerId,
    /// The sealed file with its keys.
    pub file: PathBuf,
}

impl RootFile<'_> {
    fn path(&self, folder: &Folder) -> PathBuf {
        self.file.map_or_else(|| folder.root(), Path::to_path_buf)
    }
}

impl Administrator {
    /// Names another issuer, and seals its keys into a file of their own: `out`, or one in the organisation's folder
    /// that has its identifier in its name. `holder` is the handle of whoever gets the file, so that an offboarding tells of it.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RootNotNewest`], [`ErrorCode::TooManyIssuers`], [`ErrorCode::AlreadyExists`] for the file,
    /// [`ErrorCode::UnknownRecipient`] for the holder: nothing has changed.
    pub fn add_issuer(
        self,
        (root, key): (RootFile<'_>, &KeySource),
        (capabilities, validity): (Capabilities, Duration),
        holder: Option<&str>,
        out: Option<&Path>,
    ) -> Result<(Self, NewIssuer), Error> {
        let holder = holder.map(|handle| self.plan_offboarding(handle)).transpose()?;
        let holder = holder.map(|plan| plan.member_id);
        let mut rng = clock::rng()?;
        let organisation = self.office.desk.organisation();
        let (keys, ceremony) = read_root(&root.path(&self.folder), root.key)?
            .add_issuer(organisation, (capabilities, validity), clock::now(), &mut rng)
            .map_err(ceremony_error)?;
        let id = keys.issuer().id();
        let short: String = id.to_string().chars().take(16).collect();
        let path = out.map_or_else(|| self.folder.0.join(format!("issuer-{short}.key")), Path::to_path_buf);
        if path.exists() {
            return Err(Error::with(ErrorCode::AlreadyExists, path.display().to_string()));
        }
        sealed_file::write(&path, key, keys.to_secret_bytes().expose(), &mut rng)?;
        let (target, after) = (id.to_string(), capability_names(capabilities));
        let act =
            Act { action: "issuer add", target: &target, after: &after, member: holder, ..Act::default() };
        let after = self.hold(&ceremony, &act, key)?;
        Ok((after, NewIssuer { id, file: path }))
    }

    /// Returns which of ENROL and OFFBOARD nobody could sign with any more if this issuer ended (R-ORG-63).
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn last_of(&self, issuer: &IssuerId) -> Result<Capabilities, Error> {
        Ok(sole_capabilities(&self.issuers()?, issuer, clock::now()))
    }

    /// Ends an issuer; what it signed before stands. One that is the last with ENROL or OFFBOARD only with `force`
    /// (R-ORG-63).
    ///
    /// # Errors
    ///
    /// [`ErrorCode::IssuerUnknown`], [`ErrorCode::IssuerInUse`], [`ErrorCode::RootNotNewest`],
    /// [`ErrorCode::LastIssuer`]: nothing has changed.
    pub fn end_issuer(
        self,
        root: RootFile<'_>,
        key: &KeySource,
        (issuer, force): (&IssuerId, bool),
    ) -> Result<Self, Error> {
        let info = self.issuers()?.into_iter().find(|it| it.id == *issuer);
        let info = info.ok_or_else(|| Error::with(ErrorCode::IssuerUnknown, issuer.to_string()))?;
        if info.ended.is_some() {
            return Ok(self);
        }
        let last = self.last_of(issuer)?;
        if !force && last != Capabilities::default() {
            return Err(Error::with(ErrorCode::LastIssuer, capability_names(last)));
        }
        let ceremony = read_root(&root.path(&self.folder), root.key)?
            .end_issuer(self.office.desk.organisation(), issuer, &mut clock::rng()?)
            .map_err(ceremony_error)?;
        let (target, before) = (issuer.to_string(), capability_names(info.capabilities));
        let act = Act {
            action: "issuer revoke",
            target: &target,
            before: &before,
            after: "ended",
            member: info.holder,
        };
        self.hold(&ceremony, &act, key)
    }

    /// Renews the desk in `dir`, also one whose keys' time is over: a new issuer with ENROL, new keys, the same records.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RootNotNewest`], [`ErrorCode::TooManyIssuers`]: nothing has changed.
    pub fn renew_desk(
        (dir, key): (&Path, &KeySource),
        root: RootFile<'_>,
        actor: Option<&str>,
    ) -> Result<Self, Error> {
        let folder = Folder::new(dir);
        let (former, mut store) = folder.open_records(key)?;
        let organisation = folder.organisation()?;
        let records_key = DeskKeys::records_key(former.expose()).ok_or(ErrorCode::StoreDamaged)?;
        let mut rng = clock::rng()?;
        let (keys, ceremony) = read_root(&root.path(&folder), root.key)?
            .renew_desk(&organisation, records_key, clock::now(), &mut rng)
            .map_err(ceremony_error)?;
        let contents = keys.to_secret_bytes();
        let after = verified(&ceremony.document, &organisation)?;
        let desk = Desk::new(keys, after, clock::now()).map_err(|error| acts_error(&error))?;
        let actor = actor.map_or_else(who, str::to_owned);
        let desk = desk.with_actor(&actor);
        let name = |organisation: &Organisation| {
            organisation.desk().map(|desk| desk.device_id().to_string()).unwrap_or_default()
        };
        let (before, new) = (name(&organisation), name(desk.organisation()));
        let act = Act { action: "desk renew", before: &before, after: &new, ..Act::default() };
        let from = (&folder, organisation.as_proto());
        commit((&mut store, &desk), from, (&ceremony, Some([&contents, &former])), &act)?;
        folder.finish(&mut store, key)?;
        drop(store);
        Self::open(dir, key, Some(&actor))
    }

    /// Names a new root, whose key replaces the one in the root's file; the old one is kept beside it with `.old` at its end,
    /// or with `forget` not at all, and so is a `root.shared`, whose shares are worth nothing any more (R-ORG-61). Goes on where
    /// an interrupted call was.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RootNotNewest`], [`ErrorCode::TooManyIssuers`]: nothing has changed.
    pub fn succeed_root(self, root: RootFile<'_>, key: &KeySource, forget: bool) -> Result<Self, Error> {
        let path = root.path(&self.folder);
        let new = beside(&path, ".new");
        let organisation = self.office.desk.organisation();
        let newest =
            |path: &Path| read_root(path, root.key).is_ok_and(|root| root.is_newest_of(organisation).is_ok());
        if !newest(&path) && newest(&new) {
            self.folder.void_shares(forget)?;
            replace(&path, &new, forget)?;
            return Ok(self);
        }
        let mut rng = clock::rng()?;
        let (next, ceremony) =
            read_root(&path, root.key)?.succeed(organisation, &mut rng).map_err(ceremony_error)?;
        sealed_file::write(&new, root.key, next.to_secret_bytes().expose(), &mut rng)?;
        let act = Act { action: "root succeed", ..Act::default() };
        let after = self.hold(&ceremony, &act, key)?;
        after.folder.void_shares(forget)?;
        replace(&path, &new, forget)?;
        Ok(after)
    }

    /// Says what a ceremony would find: that the root opens, and is the newest.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::FileNotFound`], [`ErrorCode::WrongPassphrase`], [`ErrorCode::RootNotNewest`].
    pub fn check_root(dir: &Path, root: RootFile<'_>) -> Result<(), Error> {
        let folder = Folder::new(dir);
        let organisation = folder.organisation()?;
        let opened = read_root(&root.path(&folder), root.key)?;
        opened.is_newest_of(&organisation).map_err(ceremony_error)
    }

    /// Returns the member with a handle.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`]: nobody has this handle.
    pub fn member(&self, handle: &str) -> Result<MemberId, Error> {
        self.plan_offboarding(handle).map(|plan| plan.member_id)
    }

    /// Commits a ceremony, writes the files that follow from it, and opens everything anew.
    fn hold(self, ceremony: &Ceremony, act: &Act<'_>, key: &KeySource) -> Result<Self, Error> {
        verified(&ceremony.document, self.office.desk.organisation())?;
        let Self { folder, office, actor } = self;
        {
            let mut store = office.store();
            let from = (&folder, office.desk.organisation().as_proto());
            commit((&mut store, &office.desk), from, (ceremony, None), act)?;
            folder.finish(&mut store, key)?;
        }
        drop(office);
        Self::open(&folder.0, key, Some(&actor))
    }
}

/// Commits a ceremony that began from a document; refuses it if another one has changed that meanwhile.
fn commit(
    (store, desk): (&mut Store, &Desk),
    (folder, from): (&Folder, &proto::Organisation),
    held: (&Ceremony, Option<[&SecretBytes; 2]>),
    act: &Act<'_>,
) -> Result<(), Error> {
    let mut rng = clock::rng()?;
    store.transaction(|records| {
        let unfinished = chancery_org::unfinished(records).map_err(|error| acts_error(&error))?;
        let is_other = folder.organisation()?.as_proto() != from;
        if is_other || unfinished.document.is_some() || unfinished.desk.is_some() {
            return Err(ErrorCode::StoreBusy.into());
        }
        let mut batch = Batch::default();
        desk.carry_out_ceremony((records, &mut batch), held, act, (clock::now(), &mut rng))
            .map_err(|error| acts_error(&error))?;
        Ok::<_, Error>((batch, ()))
    })
}

/// A document of ours that does not verify must not reach anybody.
fn verified(document: &proto::Organisation, before: &Organisation) -> Result<Organisation, Error> {
    Organisation::verify(Unverified::new(document.clone()), Some(before.id()))
        .map_err(|_| ErrorCode::Internal.into())
}

fn read_root(path: &Path, key: &KeySource) -> Result<Root, Error> {
    let secret = sealed_file::read(path, key).map_err(|error| match Error::from(error) {
        error if error.code() == ErrorCode::StoreNotFound => {
            Error::with(ErrorCode::FileNotFound, format!("{} (bring {ROOT_KEY})", path.display()))
        }
        error => error,
    })?;
    Root::from_secret_bytes(secret.expose()).ok_or_else(|| ErrorCode::StoreDamaged.into())
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Puts the new root's file in the old one's place. A crash in between leaves both, under known names.
fn replace(path: &Path, new: &Path, forget: bool) -> Result<(), Error> {
    let moved = (|| {
        if !forget && path.exists() {
            std::fs::rename(path, beside(path, ".old"))?;
        }
        std::fs::rename(new, path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => std::fs::File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    })();
    moved.map_err(|error| file(&error, path))
}

fn ceremony_error(error: AdminError) -> Error {
    match error {
        AdminError::WrongKeys => ErrorCode::RootNotNewest.into(),
        AdminError::TooMany => ErrorCode::TooManyIssuers.into(),
        AdminError::UnknownIssuer => ErrorCode::IssuerUnknown.into(),
        AdminError::DesksIssuer => ErrorCode::IssuerInUse.into(),
        AdminError::Malformed => Error::with(ErrorCode::Usage, error.to_string()),
        _ => ErrorCode::Internal.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::secret::Secret;

    fn key() -> KeySource {
        KeySource::KeyFile(Secret::from_slice(&[7; 32]).unwrap())
    }

    /// R-ORG-45: the records have the ceremony, and the process died before it wrote the files.
    #[test]
    fn a_renewal_that_was_interrupted_is_finished_by_whoever_opens_the_desk_next_r_org_45() {
        let (folder, key) = (tempfile::tempdir().unwrap(), key());
        let dir = folder.path().join("org");
        crate::organisation::found(&dir, "Acme", &key).unwrap();
        let folder = Folder::new(&dir);
        let (before, old) = (folder.organisation().unwrap(), std::fs::read(folder.desk()).unwrap());
        let (former, mut store) = folder.open_records(&key).unwrap();
        let records_key = DeskKeys::records_key(former.expose()).unwrap();
        let root = read_root(&folder.root(), &key).unwrap();
        let mut rng = clock::rng().unwrap();
        let (keys, ceremony) = root.renew_desk(&before, records_key, clock::now(), &mut rng).unwrap();
        let contents = keys.to_secret_bytes();
        let desk = Desk::new(keys, verified(&ceremony.document, &before).unwrap(), clock::now()).unwrap();
        let act = Act { action: "desk renew", ..Act::default() };
        let (held, from) = ((&ceremony, Some([&contents, &former])), (&folder, before.as_proto()));
        commit((&mut store, &desk), from, held, &act).unwrap();
        // Another ceremony that began from the same document comes too late.
        let late = commit((&mut store, &desk), from, held, &act).unwrap_err();
        assert_eq!(late.code(), ErrorCode::StoreBusy);
        drop(store);
        // Nothing written, then only the first of the two files.
        for written in [false, true] {
            if written {
                sealed_file::write(folder.desk(), &key, contents.expose(), &mut rng).unwrap();
            } else {
                std::fs::write(folder.desk(), &old).unwrap();
            }
            folder.write_document(before.as_proto()).unwrap();
            let (_, mut store) = folder.open_records(&key).unwrap();
            assert_eq!(folder.organisation().unwrap().as_proto(), &ceremony.document);
            assert_eq!(sealed_file::read(folder.desk(), &key).unwrap().expose(), contents.expose());
            // As if it had died again.
            let batch = |records: &dyn chancery_wire::records::Records| {
                let mut batch = Batch::default();
                let act = Act { action: "again", ..Act::default() };
                desk.carry_out_ceremony(
                    (records, &mut batch),
                    (&ceremony, Some([&contents, &former])),
                    &act,
                    (clock::now(), &mut clock::rng().unwrap()),
                )
                .unwrap();
                Ok::<_, Error>((batch, ()))
            };
            store.transaction(batch).unwrap();
        }
        let administrator = Administrator::open(&dir, &key, Some("ann")).unwrap();
        assert_eq!(administrator.office.desk.organisation().as_proto(), &ceremony.document);
        assert_eq!(administrator.acts().unwrap().len(), 3);
        assert!(administrator.issuers().unwrap().iter().any(|issuer| issuer.is_desks));
    }
}
