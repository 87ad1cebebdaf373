//! What only the root can do after the founding: name issuers, end them, renew the desk, name its successor (R-ORG-45).
//!
//! Each act is a new document and the statements for the log; [`Desk::carry_out_ceremony`] takes both, together with the files
//! that follow, into the desk's records in one batch. A crash between that and the files is mended by
//! [`unfinished`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_identity::log::LeafKind;
use chancery_identity::{Capabilities, IssuerId, MAX_ISSUERS, MAX_SUCCESSORS, MemberId, Organisation, sign};
use chancery_wire::records::{Batch, RecordKey, Records, Table};
use chancery_wire::{Limit, Timestamp, Unverified, decode, encode, proto};

use crate::audit::Act;
use crate::found::{self, Dates, ISSUER_VALIDITY};
use crate::state::{self, damaged};
use crate::{AdminError, AdminKeys, Desk, DeskKeys, OrgError, Root, queue};

const ISSUERS: Table = Table(0x0227);
const FILES: Table = Table(0x022b);
const DESK_FILE: &[u8] = b"desk";
const DOCUMENT_FILE: &[u8] = b"document";
/// Keys of the desk before, with which the log can be handed the one that follows.
const FORMER: &[u8] = b"former";

/// What the root has signed.
#[derive(Debug, Clone)]
pub struct Ceremony {
    /// The public document that follows.
    pub document: proto::Organisation,
    /// What is to enter the log, in this order.
    pub statements: Vec<(LeafKind, proto::Signed)>,
}

/// An issuer of the organisation, for a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerInfo {
    /// Its identifier.
    pub id: IssuerId,
    /// What it may sign.
    pub capabilities: Capabilities,
    /// The first moment at which it may sign.
    pub not_before: Timestamp,
    /// The moment from which on it may no longer sign.
    pub not_after: Timestamp,
    /// The member who has its key, if that was said.
    pub holder: Option<MemberId>,
    /// When its end was signed.
    pub ended: Option<Timestamp>,
    /// Whether the desk signs with it.
    pub is_desks: bool,
}

/// Files that a ceremony has changed and that may not have been written yet.
#[derive(Debug, Default)]
pub struct Unfinished {
    /// The contents of the desk's sealed file.
    pub desk: Option<SecretBytes>,
    /// The public document.
    pub document: Option<proto::Organisation>,
}

impl Root {
    /// Names another issuer, valid from a day ago until `validity` from now. Its keys are an administrator's, whatever it may
    /// sign.
    ///
    /// # Errors
    ///
    /// [`AdminError::WrongKeys`]: this is not the organisation's newest root. [`AdminError::TooMany`]: the document is full.
    /// [`AdminError::Malformed`]: no capability of issuers, or no time.
    pub fn add_issuer(
        &self,
        organisation: &Organisation,
        (capabilities, validity): (Capabilities, Duration),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<(AdminKeys, Ceremony), AdminError> {
        self.is_newest_of(organisation)?;
        let dates = Dates::from(now, validity);
        let (key, certificate) = found::issuer(self, (&organisation.id(), capabilities), dates, rng);
        let mut after = organisation.clone();
        added(&mut after, certificate.clone())?;
        let statements = [(LeafKind::Issuer, certificate)].into();
        Ok((AdminKeys::new(key), Ceremony { document: after.as_proto().clone(), statements }))
    }

    /// Ends an issuer: nothing that it signs from then on counts, and what it signed before stands.
    ///
    /// # Errors
    ///
    /// [`AdminError::WrongKeys`]: this is not the organisation's newest root. [`AdminError::UnknownIssuer`]: there is no such
    /// issuer. [`AdminError::DesksIssuer`]: the desk signs with it; renew the desk first.
    pub fn end_issuer(
        &self,
        organisation: &Organisation,
        issuer: &IssuerId,
        rng: &mut dyn CryptoRng,
    ) -> Result<Ceremony, AdminError> {
        self.is_newest_of(organisation)?;
        organisation.issuer(issuer).ok_or(AdminError::UnknownIssuer)?;
        if organisation.desk().is_some_and(|desk| desk.issuer_id() == *issuer) {
            return Err(AdminError::DesksIssuer);
        }
        let body = proto::IssuerRevocationBody {
            org_id: organisation.id().as_bytes().to_vec(),
            issuer_id: issuer.as_bytes().to_vec(),
        };
        let signed = sign::sign_issuer_revocation(self.signing(), &body, rng);
        let statements = [(LeafKind::IssuerRevoked, signed)].into();
        Ok(Ceremony { document: organisation.as_proto().clone(), statements })
    }

    /// Renews the desk: an issuer with ENROL, the desk's keys, mailbox and credential are new. Nobody has to enrol again, since
    /// what was signed before stands. `records_key` is that of the desk before, so that its records stay.
    ///
    /// # Errors
    ///
    /// As [`Self::add_issuer`].
    pub fn renew_desk(
        &self,
        organisation: &Organisation,
        records_key: Secret<32>,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<(DeskKeys, Ceremony), AdminError> {
        self.is_newest_of(organisation)?;
        let (org, dates) = (organisation.id(), Dates::from(now, ISSUER_VALIDITY));
        let (key, certificate) = found::issuer(self, (&org, Capabilities::ENROL), dates, rng);
        let (keys, statement) = found::desk(&org, key, dates, rng);
        let mut after = organisation.clone();
        added(&mut after, certificate.clone())?;
        after.set_desk(statement.clone()).map_err(|_| AdminError::Malformed)?;
        let statements = [(LeafKind::Issuer, certificate), (LeafKind::Desk, statement)].into();
        let keys = keys.with_records_key(records_key);
        Ok((keys, Ceremony { document: after.as_proto().clone(), statements }))
    }

    /// Names a new root, which signs issuers from then on. What this one signed stands.
    ///
    /// # Errors
    ///
    /// [`AdminError::WrongKeys`]: this is not the organisation's newest root. [`AdminError::TooMany`]: there have been as many
    /// roots as there may be.
    pub fn succeed(
        &self,
        organisation: &Organisation,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, Ceremony), AdminError> {
        self.is_newest_of(organisation)?;
        if organisation.as_proto().successors.len() >= MAX_SUCCESSORS {
            return Err(AdminError::TooMany);
        }
        let next = Self::generate(rng);
        let signed = sign::sign_root_successor(self.signing(), next.signing(), &organisation.id(), rng);
        let mut after = organisation.clone();
        after.add_successor(signed.clone()).map_err(|_| AdminError::Malformed)?;
        let statements = [(LeafKind::Root, signed)].into();
        Ok((next, Ceremony { document: after.as_proto().clone(), statements }))
    }

    /// Whether this is the organisation's newest root.
    ///
    /// # Errors
    ///
    /// [`AdminError::WrongKeys`] if it is not.
    pub fn is_newest_of(&self, organisation: &Organisation) -> Result<(), AdminError> {
        let newest = organisation.root_key() == self.signing().verifying_key();
        if newest { Ok(()) } else { Err(AdminError::WrongKeys) }
    }
}

impl Desk {
    /// Takes a ceremony over: its statements into the queue, the files among those to be written, and the record of
    /// the act (R-ORG-45). `desk` are the contents of the desk's file, new and old, if the ceremony renewed it.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn carry_out_ceremony(
        &self,
        (records, batch): (&dyn Records, &mut Batch),
        (ceremony, desk): (&Ceremony, Option<[&SecretBytes; 2]>),
        act: &Act<'_>,
        (now, rng): (Timestamp, &mut dyn CryptoRng),
    ) -> Result<(), OrgError> {
        for (kind, signed) in &ceremony.statements {
            queue::push(records, batch, *kind, signed.clone())?;
            note_issuer(records, batch, (*kind, signed), (act.member, now))?;
        }
        batch.put(RecordKey::new(FILES, DOCUMENT_FILE), encode(&ceremony.document));
        if let Some([new, former]) = desk {
            batch.put(RecordKey::new(FILES, DESK_FILE), new.expose().to_vec());
            // A relay that has not heard of one renewal knows the desk before it.
            if former_desk(records)?.is_none() {
                batch.put(RecordKey::new(FILES, FORMER), former.expose().to_vec());
            }
        }
        self.record_act((records, batch), act, now, rng)
    }

    /// Lists the organisation's issuers, in the order of the document.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn issuers(records: &dyn Records, organisation: &Organisation) -> Result<Vec<IssuerInfo>, OrgError> {
        let desk = organisation.desk().map(chancery_identity::Desk::issuer_id);
        let mut list = Vec::new();
        for it in organisation.issuers() {
            let note = issuer(records, it.id().as_bytes())?.unwrap_or_default();
            list.push(IssuerInfo {
                id: it.id(),
                capabilities: it.capabilities(),
                not_before: it.not_before(),
                not_after: it.not_after(),
                holder: MemberId::from_bytes(&note.holder),
                ended: (note.ended != 0).then(|| Timestamp::from_millis(note.ended)),
                is_desks: desk == Some(it.id()),
            });
        }
        Ok(list)
    }
}

/// Returns which of ENROL and OFFBOARD only this issuer may sign with, of those in the list that are valid now and were not
/// ended (R-ORG-63).
#[must_use]
pub fn sole_capabilities(issuers: &[IssuerInfo], issuer: &IssuerId, now: Timestamp) -> Capabilities {
    let can = |it: &IssuerInfo, capability| {
        it.ended.is_none()
            && it.not_before <= now
            && now < it.not_after
            && it.capabilities.contains(capability)
    };
    let is_sole = |capability: &Capabilities| {
        issuers.iter().any(|it| it.id == *issuer && can(it, *capability))
            && !issuers.iter().any(|it| it.id != *issuer && can(it, *capability))
    };
    let watched = [Capabilities::ENROL, Capabilities::OFFBOARD];
    watched.into_iter().filter(is_sole).fold(Capabilities::default(), Capabilities::union)
}

/// Returns the files that a ceremony has changed and that may not have been written: write them, then commit
/// [`finished`].
///
/// # Errors
///
/// [`OrgError::Records`] when the store cannot answer.
pub fn unfinished(records: &dyn Records) -> Result<Unfinished, OrgError> {
    let desk = records.get(&RecordKey::new(FILES, DESK_FILE))?.map(SecretBytes::new);
    let document = records.get(&RecordKey::new(FILES, DOCUMENT_FILE))?;
    let document = document
        .map(|bytes| {
            decode(&bytes, Limit::ORGANISATION).map(Unverified::into_unchecked).map_err(|_| damaged())
        })
        .transpose()?;
    Ok(Unfinished { desk, document })
}

/// Returns the keys of the desk before while the log does not have the one that followed: a relay lets those log in, and not
/// yet the new ones. `None` once the log has it.
///
/// # Errors
///
/// [`OrgError::Records`] when the store cannot answer.
pub fn former_desk(records: &dyn Records) -> Result<Option<DeskKeys>, OrgError> {
    let Some(bytes) = records.get(&RecordKey::new(FILES, FORMER))?.map(SecretBytes::new) else {
        return Ok(None);
    };
    DeskKeys::from_secret_bytes(bytes.expose()).map(Some).ok_or_else(damaged)
}

/// Forgets the keys of the desk before.
pub(crate) fn forget_former(batch: &mut Batch) {
    batch.delete(RecordKey::new(FILES, FORMER));
}

/// Notes that the files of a ceremony are written.
#[must_use]
pub fn finished() -> Batch {
    let mut batch = Batch::default();
    batch.delete(RecordKey::new(FILES, DESK_FILE));
    batch.delete(RecordKey::new(FILES, DOCUMENT_FILE));
    batch
}

/// Reads capabilities of issuers by name, as in `enrol,offboard`; `None` for a name that is none, and for nothing.
#[must_use]
pub fn parse_capabilities(text: &str) -> Option<Capabilities> {
    let found: Option<Vec<Capabilities>> = text
        .split(',')
        .map(|word| NAMES.iter().find(|(name, _)| *name == word.trim()).map(|(_, it)| *it))
        .collect();
    found.map(|all| all.into_iter().fold(Capabilities::default(), Capabilities::union))
}

/// Names the capabilities of issuers that a set has, separated by commas.
#[must_use]
pub fn capability_names(set: Capabilities) -> String {
    let names: Vec<&str> = NAMES.iter().filter(|(_, it)| set.contains(*it)).map(|(name, _)| *name).collect();
    names.join(",").to_string()
}

const NAMES: [(&str, Capabilities); 6] = [
    ("enrol", Capabilities::ENROL),
    ("offboard", Capabilities::OFFBOARD),
    ("groups", Capabilities::GROUPS),
    ("policy", Capabilities::POLICY),
    ("log", Capabilities::LOG),
    ("archive", Capabilities::ARCHIVE),
];

/// Keeps who holds an issuer, and when it was named or ended.
fn note_issuer(
    records: &dyn Records,
    batch: &mut Batch,
    (kind, signed): (LeafKind, &proto::Signed),
    (holder, now): (Option<MemberId>, Timestamp),
) -> Result<(), OrgError> {
    let now = now.as_millis().max(1);
    match kind {
        LeafKind::Issuer => {
            let holder = holder.map(|member| member.as_bytes().to_vec()).unwrap_or_default();
            let id = chancery_identity::Issuer::id_of(signed);
            put_issuer(batch, id.as_bytes(), &proto::DeskIssuer { holder, added: now, ended: 0 });
        }
        LeafKind::IssuerRevoked => {
            let body: proto::IssuerRevocationBody = queue::body(signed)?;
            let before = issuer(records, &body.issuer_id)?.unwrap_or_default();
            put_issuer(batch, &body.issuer_id, &proto::DeskIssuer { ended: now, ..before });
        }
        _ => {}
    }
    Ok(())
}

/// Notes that the statement that named or ended an issuer was dropped: one that the log never heard of signs nothing, and one
/// whose end it never heard of may be ended again.
pub(crate) fn dropped(
    records: &dyn Records,
    batch: &mut Batch,
    (kind, signed): (LeafKind, &proto::Signed),
    now: Timestamp,
) -> Result<(), OrgError> {
    let (id, ended) = match kind {
        LeafKind::Issuer => {
            (chancery_identity::Issuer::id_of(signed).as_bytes().to_vec(), now.as_millis().max(1))
        }
        _ => (queue::body::<proto::IssuerRevocationBody>(signed)?.issuer_id, 0),
    };
    let before = issuer(records, &id)?.unwrap_or_default();
    put_issuer(batch, &id, &proto::DeskIssuer { ended, ..before });
    Ok(())
}

/// The issuers that a member holds and that were not ended.
pub(crate) fn held_by(
    records: &dyn Records,
    organisation: &Organisation,
    member: &MemberId,
) -> Result<Vec<IssuerId>, OrgError> {
    let all = Desk::issuers(records, organisation)?;
    let held = all.into_iter().filter(|it| it.holder == Some(*member) && it.ended.is_none());
    Ok(held.map(|it| it.id).collect())
}

/// Refuses keys that are no active issuer's with this capability: the log would, and what follows would wait behind it.
pub(crate) fn check_may_sign(
    records: &dyn Records,
    organisation: &Organisation,
    (admin, capability): (&AdminKeys, Capabilities),
    now: Timestamp,
) -> Result<(), OrgError> {
    let id = admin.issuer().id();
    let ended = issuer(records, id.as_bytes())?.is_some_and(|note| note.ended != 0);
    let is_valid =
        organisation.issuer(&id).is_some_and(|issuer| issuer.not_before() <= now && now < issuer.not_after());
    if ended || !is_valid || !admin.issuer().is_issuer_of(organisation, capability) {
        return Err(OrgError::WrongKeys);
    }
    Ok(())
}

fn added(organisation: &mut Organisation, certificate: proto::Signed) -> Result<(), AdminError> {
    if organisation.issuers().len() >= MAX_ISSUERS {
        return Err(AdminError::TooMany);
    }
    organisation.add_issuer(certificate).map_err(|_| AdminError::Malformed)
}

fn issuer(records: &dyn Records, id: &[u8]) -> Result<Option<proto::DeskIssuer>, OrgError> {
    state::read(records, &RecordKey::new(ISSUERS, id))
}

fn put_issuer(batch: &mut Batch, id: &[u8], issuer: &proto::DeskIssuer) {
    batch.put(RecordKey::new(ISSUERS, id), encode(issuer));
}
