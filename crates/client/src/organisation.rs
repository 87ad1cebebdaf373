//! The organisation's side: founding it, inviting people, and the desk that answers their enrolments.
//!
//! One folder holds an organisation: `root.key`, `admin.key` and `desk.key` (sealed), `desk.db` (the desk's
//! encrypted records), and `public/organisation.bin`, which is all that a relay needs. `root.shared` is the root
//! once more, under a key that several people hold in shares.

mod administrator;
mod desk;
mod group_order;
mod inviting;
mod list;
mod log;
mod log_key;
mod queue;
mod root;
mod verify;
mod witness;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_crypto::secret::SecretBytes;
use chancery_identity::{DisplayName, Handle, MemberId, OrgId, Organisation, RelayRecord};
use chancery_org::{
    AdminError, AdminKeys, Desk, DeskKeys, MAX_INVITATION_LIFETIME, OrgError, RelayPlace, Unfinished,
};
use chancery_store::{KeySource, Store, sealed_file};
use chancery_wire::records::Records;
use chancery_wire::{Limit, Timestamp, Unverified, decode, encode, proto};

use crate::clock;
use crate::error::{Error, ErrorCode, file};
use crate::home::{create_private_dir, hex};

pub use administrator::{Administrator, NewIssuer, RootFile, SignedWith};
pub use chancery_identity::{Capabilities, IssuerId, Kind, Policy, Witnesses};
pub use chancery_org::{
    ActFault, ConfirmedEnd, DEFAULT_INVITATION_LIFETIME, Issued, IssuerInfo, KeyStep, Member as DeskMember,
    MemberState as DeskMemberState, OffboardingPlan, OffboardingReport, OffboardingStep, RecordedAct,
    capability_names, parse_capabilities,
};
pub use desk::serve;
pub use group_order::GroupOrder;
pub(crate) use group_order::read_order;
pub use inviting::{MAX_DAYS, Wanted, invite_as};
pub use list::{
    ListError, ListFault, Listed, ListedState, MAX_LIST_LEN, MAX_PEOPLE, PeopleList, compare_list, conflicts,
    invite_list,
};
pub use log::Log;
pub use log_key::{LogKey, fetch_log_key};
pub use queue::Waiting;
pub use root::{
    ROOT_SHARED, RootShare, check_join, check_split, discard_shares, join_root, parse_share, remove_root,
    split_root,
};
pub use verify::OffboardingCheck;
pub use witness::{Witness, Witnessed};

/// Name of the folder, inside an organisation's, that a relay is started with.
pub const PUBLIC: &str = "public";
/// Name of the root's key inside an organisation's folder, to be put away: daily work does not need it.
pub const ROOT_KEY: &str = "root.key";
/// Name of the public document inside [`PUBLIC`].
const DOCUMENT: &str = "organisation.bin";

/// A new organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Founded {
    /// The organisation's identifier: the hash of its root key.
    pub org_id: OrgId,
    /// The same for people to compare: eight groups of four hexadecimal digits.
    pub fingerprint: String,
}

/// Where a relay is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayAddress {
    /// `wss://host:port`.
    pub url: String,
    /// SHA-256 of the certificate's `SubjectPublicKeyInfo`.
    pub pin: [u8; 32],
    /// SHA-256 of the key that signs the log.
    pub log_key: [u8; 32],
}

/// An invitation.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invited {
    /// The link, to be handed over by a private way. Whoever has it can use it once.
    pub link: String,
    /// The member it is for.
    pub member: MemberId,
    /// When it ends.
    pub expires: Timestamp,
}

impl std::fmt::Debug for Invited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The link is a secret until it was used.
        let Self { link: _, member, expires } = self;
        f.debug_struct("Invited").field("member", member).field("expires", expires).finish_non_exhaustive()
    }
}

/// The files of an organisation's folder.
#[derive(Debug, Clone)]
struct Folder(PathBuf);

impl Folder {
    fn new(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    fn root(&self) -> PathBuf {
        self.0.join(ROOT_KEY)
    }

    fn shared(&self) -> PathBuf {
        self.0.join(ROOT_SHARED)
    }

    /// Puts the file that shares of a replaced root open out of use, beside the old root's, or removes it (R-ORG-61).
    fn void_shares(&self, forget: bool) -> Result<(), Error> {
        let shared = self.shared();
        let moved = match forget {
            true => std::fs::remove_file(&shared),
            false => std::fs::rename(&shared, self.0.join(format!("{ROOT_SHARED}.old"))),
        };
        match moved {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file(&error, &shared)),
            _ => Ok(()),
        }
    }

    fn admin(&self) -> PathBuf {
        self.0.join("admin.key")
    }

    fn desk(&self) -> PathBuf {
        self.0.join("desk.key")
    }

    fn records(&self) -> PathBuf {
        self.0.join("desk.db")
    }

    fn document(&self) -> PathBuf {
        self.0.join(PUBLIC).join(DOCUMENT)
    }

    fn organisation(&self) -> Result<Organisation, Error> {
        let path = self.document();
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::with(ErrorCode::StoreNotFound, self.0.display().to_string())
            }
            _ => file(&error, &path),
        })?;
        let document = decode(&bytes, Limit::ORGANISATION).map_err(|_| ErrorCode::StoreDamaged)?;
        Organisation::verify(document, None).map_err(|_| ErrorCode::StoreDamaged.into())
    }

    /// Replaces the public document as a whole: readers see the old or the new one.
    fn write_document(&self, document: &proto::Organisation) -> Result<(), Error> {
        let path = self.document();
        let temporary = path.with_extension("new");
        let written = (|| {
            use std::io::Write as _;
            let mut out = std::fs::File::create(&temporary)?;
            out.write_all(&encode(document))?;
            out.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            std::fs::File::open(self.0.join(PUBLIC))?.sync_all()
        })();
        written.map_err(|error| file(&error, &path))
    }

    fn open_desk(&self, key: &KeySource) -> Result<(Organisation, Desk, Store), Error> {
        // Before a passphrase is stretched for nothing.
        self.organisation()?;
        let (secret, store) = self.open_records(key)?;
        // Opening may have finished what changes it.
        let organisation = self.organisation()?;
        let keys = DeskKeys::from_secret_bytes(secret.expose()).ok_or(ErrorCode::StoreDamaged)?;
        let desk = Desk::new(keys, organisation.clone(), clock::now()).map_err(|error| org_error(&error))?;
        Ok((organisation, desk.with_actor(&who()), store))
    }

    /// Opens the desk's records, also with keys whose time is over, and returns the contents of the desk's file.
    fn open_records(&self, key: &KeySource) -> Result<(SecretBytes, Store), Error> {
        let secret = sealed_file::read(self.desk(), key)?;
        let mut store = Store::open(self.records(), &records_key(&secret)?)?;
        match self.finish(&mut store, key)? {
            Some(renewed) => Ok((renewed, store)),
            None => Ok((secret, store)),
        }
    }

    /// Writes the files that a ceremony has changed and that a crash, or this process, has not written yet; returns
    /// the contents of the desk's file if that is among them (R-ORG-45).
    fn finish(&self, store: &mut Store, key: &KeySource) -> Result<Option<SecretBytes>, Error> {
        let read =
            |records: &dyn Records| chancery_org::unfinished(records).map_err(|error| org_error(&error));
        let Unfinished { desk: None, document: None } = store.read(read)? else {
            // While nobody else can hold a ceremony: the files of an older one must not come after its.
            return store.transaction(|records| {
                let Unfinished { desk, document } = read(records)?;
                if let Some(contents) = &desk {
                    sealed_file::write(self.desk(), key, contents.expose(), &mut clock::rng()?)?;
                }
                if let Some(document) = &document {
                    self.write_document(document)?;
                }
                Ok::<_, Error>((chancery_org::finished(), desk))
            });
        };
        Ok(None)
    }
}

/// Founds an organisation in the folder `dir`, which must not hold one yet.
///
/// After this `root.key` may be moved to a safe place; daily work does not need it.
///
/// # Errors
///
/// [`ErrorCode::AlreadyExists`]: choose another folder. [`ErrorCode::NameNotAllowed`]: correct the name.
/// [`ErrorCode::DiskFull`] and other errors of files: nothing usable was made; remove the folder.
pub fn found(dir: &Path, name: &str, key: &KeySource) -> Result<Founded, Error> {
    let name = DisplayName::parse(name).map_err(|_| ErrorCode::NameNotAllowed)?;
    let folder = Folder::new(dir);
    if folder.document().exists() || folder.root().exists() || folder.records().exists() {
        return Err(Error::with(ErrorCode::AlreadyExists, dir.display().to_string()));
    }
    create_private_dir(dir)?;
    std::fs::create_dir_all(dir.join(PUBLIC)).map_err(|error| file(&error, dir))?;
    let mut rng = clock::rng()?;
    let new = chancery_org::found(&name, clock::now(), &mut rng);
    let mut seal = |path: PathBuf, secret: &SecretBytes| {
        sealed_file::write(path, key, secret.expose(), &mut rng).map_err(Error::from)
    };
    seal(folder.root(), &new.root.to_secret_bytes())?;
    seal(folder.admin(), &new.admin.to_secret_bytes())?;
    let desk = new.desk.to_secret_bytes();
    seal(folder.desk(), &desk)?;
    let mut store = Store::create(folder.records(), &records_key(&desk)?, &mut clock::rng()?)?;
    store.transaction(|_| Ok::<_, Error>((new.records, ())))?;
    folder.write_document(&new.public)?;
    let org_id = new.root.org_id();
    Ok(Founded { org_id, fingerprint: fingerprint(&org_id) })
}

/// The key of the desk's records follows from the desk's keys: whoever can open those can enrol anyway, and a
/// passphrase is stretched once and not twice (R-ORG-14).
fn records_key(desk: &SecretBytes) -> Result<KeySource, Error> {
    Ok(KeySource::KeyFile(DeskKeys::records_key(desk.expose()).ok_or(ErrorCode::StoreDamaged)?))
}

/// Who works here, as the environment says: a claim for the records of administrative acts, and no proof.
fn who() -> String {
    let names = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    names.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// Returns an organisation's identifier for people to compare, as [`Founded::fingerprint`] has it.
#[must_use]
pub fn fingerprint(org_id: &OrgId) -> String {
    let short: Vec<String> = org_id.as_bytes().chunks(2).take(8).map(hex).collect();
    short.join(" ")
}

/// Records, signed, where the relay is and how it signs the log ([`fetch_log_key`]). Invitations name this place from then on.
///
/// # Errors
///
/// [`ErrorCode::RelayUrl`]: correct the address. [`ErrorCode::WrongPassphrase`]: ask again.
pub fn record_relay(
    dir: &Path,
    key: &KeySource,
    url: &str,
    pin: &[u8; 32],
    log_key: &LogKey,
) -> Result<(), Error> {
    record_relay_by((dir, key), SignedWith { file: None, key }, None, (url, pin, log_key))
}

/// As [`record_relay`], with an issuer of the administrator's choice and, as in [`Administrator::open`], who the record of the
/// act names. `place` is the address, the pin and the log's key.
///
/// # Errors
///
/// As [`record_relay`]. [`ErrorCode::FileNotFound`]: there is no such file of an issuer.
/// [`ErrorCode::KeysNotPermitted`]: it is no issuer's with POLICY.
pub fn record_relay_by(
    (dir, key): (&Path, &KeySource),
    with: SignedWith<'_>,
    actor: Option<&str>,
    (url, pin, log_key): (&str, &[u8; 32], &LogKey),
) -> Result<(), Error> {
    let folder = Folder::new(dir);
    // Whatever an interrupted ceremony left is finished first, so that its document is not overwritten.
    drop(folder.open_desk(key)?);
    let organisation = folder.organisation()?;
    let admin = with.open(&folder)?;
    let document = admin
        .record_relay(&organisation, RelayPlace { url, pin, log_key: &log_key.0 }, &mut clock::rng()?)
        .map_err(|error| match error {
            AdminError::RelayUrl => ErrorCode::RelayUrl,
            AdminError::WrongKeys => ErrorCode::KeysNotPermitted,
            _ => ErrorCode::StoreDamaged,
        })?;
    Organisation::verify(Unverified::new(document.clone()), Some(organisation.id()))
        .map_err(|_| ErrorCode::Internal)?;
    note_relay(&folder, key, actor, (&document, &admin))?;
    folder.write_document(&document)
}

/// Queues a new relay record for the log, and records the act.
fn note_relay(
    folder: &Folder,
    key: &KeySource,
    actor: Option<&str>,
    (document, admin): (&proto::Organisation, &AdminKeys),
) -> Result<(), Error> {
    let (organisation, desk, mut store) = folder.open_desk(key)?;
    let desk = match actor {
        Some(actor) => desk.with_actor(actor),
        None => desk,
    };
    // Somebody else has changed the document meanwhile.
    let relay = document.relay.clone();
    if (proto::Organisation { relay, ..organisation.as_proto().clone() }) != *document {
        return Err(ErrorCode::StoreBusy.into());
    }
    let Some(record) = document.relay.as_ref().filter(|_| document.relay != organisation.as_proto().relay)
    else {
        return Ok(());
    };
    let body = decode::<proto::RelayRecordBody>(&record.body, Limit::STATEMENT);
    let place = body.map_err(|_| ErrorCode::Internal)?.into_unchecked().url;
    let mut rng = clock::rng()?;
    store.transaction(|records| {
        let batch = desk.relay_recorded(admin, (records, record, &place), clock::now(), &mut rng);
        let batch = batch.map_err(|error| match error {
            OrgError::WrongKeys => ErrorCode::KeysNotPermitted.into(),
            error => org_error(&error),
        });
        Ok((batch?, ()))
    })
}

/// Returns where the relay was recorded to be; needs no key.
///
/// # Errors
///
/// [`ErrorCode::StoreNotFound`] if there is no organisation in `dir`.
pub fn relay(dir: &Path) -> Result<Option<RelayAddress>, Error> {
    let organisation = Folder::new(dir).organisation()?;
    Ok(address(&organisation))
}

fn address(organisation: &Organisation) -> Option<RelayAddress> {
    organisation.relay().map(|relay| RelayAddress {
        url: relay.url().into(),
        pin: *relay.pin(),
        log_key: log_key::hash_of(relay.log_key()),
    })
}

/// Invites somebody: reserves the handle and returns a link that works once, for `valid`.
///
/// # Errors
///
/// [`ErrorCode::HandleTaken`]: choose another handle, or wait until an open invitation for it has expired.
/// [`ErrorCode::NameNotAllowed`]: correct handle or name. [`ErrorCode::RelayNotRecorded`]: record the relay.
pub fn invite(
    dir: &Path,
    key: &KeySource,
    handle: &str,
    name: Option<&str>,
    valid: Duration,
) -> Result<Invited, Error> {
    invite_as(dir, key, &Wanted { handle, name, ..Wanted::default() }, valid)
}

/// Invites another device of a member: a link that works once, for `valid`.
///
/// # Errors
///
/// [`ErrorCode::UnknownRecipient`]: nobody of that handle has a device; [`invite`] the person.
/// [`ErrorCode::TooManyDevices`]: one has to be removed first.
pub fn invite_device(dir: &Path, key: &KeySource, handle: &str, valid: Duration) -> Result<Invited, Error> {
    let handle = Handle::parse(handle).map_err(|_| ErrorCode::NameNotAllowed)?;
    let name = DisplayName::from(&handle);
    with_desk(dir, key, |desk, records, relay| {
        let terms = chancery_org::Terms::default();
        let wanted = chancery_org::Invite { handle: &handle, name: &name, relay, lifetime: valid, terms };
        desk.invite_device(records, wanted, clock::now(), &mut clock::rng()?).map_err(|error| match error {
            OrgError::NotAMember => Error::with(ErrorCode::UnknownRecipient, handle.as_str()),
            error => org_error(&error),
        })
    })
}

/// Opens the desk, and commits what it makes of the wish for an invitation.
fn with_desk(
    dir: &Path,
    key: &KeySource,
    invite: impl FnOnce(&Desk, &dyn Records, &RelayRecord) -> Result<chancery_org::Invited, Error>,
) -> Result<Invited, Error> {
    let (organisation, desk, mut store) = Folder::new(dir).open_desk(key)?;
    let relay = organisation.relay().ok_or(ErrorCode::RelayNotRecorded)?;
    store.transaction(|records| {
        let invited = invite(&desk, records, relay)?;
        let result =
            Invited { link: invited.link.encode(), member: invited.member_id, expires: invited.link.expires };
        Ok::<_, Error>((invited.batch, result))
    })
}

fn org_error(error: &OrgError) -> Error {
    match error {
        OrgError::Records(cause) => (*cause).into(),
        OrgError::HandleTaken => ErrorCode::HandleTaken.into(),
        OrgError::HandleNotAllowed => ErrorCode::NameNotAllowed.into(),
        OrgError::LifetimeOutOfRange => {
            let days = MAX_INVITATION_LIFETIME.as_secs() / (24 * 60 * 60);
            Error::with(ErrorCode::Usage, format!("an invitation holds for at most {days} days"))
        }
        OrgError::TooManyDevices => ErrorCode::TooManyDevices.into(),
        OrgError::WrongKeys => ErrorCode::StoreDamaged.into(),
        OrgError::OutsideValidity => ErrorCode::DeskExpired.into(),
        OrgError::PolicyOutOfRange => ErrorCode::PolicyOutOfRange.into(),
        OrgError::NotAMember => ErrorCode::UnknownRecipient.into(),
        OrgError::UnknownDevice => ErrorCode::DeviceUnknown.into(),
        OrgError::ReachOutOfRange => ErrorCode::ReachNotAllowed.into(),
        OrgError::OwnerNotAllowed => ErrorCode::OwnerNotAllowed.into(),
        OrgError::ValidityOutOfRange => ErrorCode::ValidityNotAllowed.into(),
        OrgError::TooManyLimited => ErrorCode::TooManyGuests.into(),
        _ => Error::with(ErrorCode::Internal, error.to_string()),
    }
}
