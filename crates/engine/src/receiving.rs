//! From an envelope to a stored message.

use alloc::vec::Vec;

use chancery_core::{InitialEnvelope, Responder, SessionEnvelope, respond};
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::SecretBytes;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::{Content, content::Body};
use chancery_wire::records::Overlay;

use crate::amend;
use crate::answer;
use crate::content;
use crate::devices;
use crate::directory;
use crate::effect::{Effect, Notice};
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group;
use crate::heal;
use crate::log;
use crate::messages::{append_event, append_message};
use crate::peers::{self, Origin, Standing};
use crate::prekeys::{self, StoredSecrets};
use crate::reach::{self, Relation};
use crate::receipts;
use crate::seen;
use crate::upkeep;

/// First byte of an initial envelope: version 1, kind 1.
pub(crate) const INITIAL: u8 = 0x11;
/// First byte of a session message: version 1, kind 2.
const SESSION: u8 = 0x12;

/// Handles one envelope. The relay may forget it afterwards if the effects acknowledge it (all but R-ENGINE-57); what does not authenticate
/// changes nothing but what is noted to heal later (R-ENGINE-6, R-ENGINE-19).
pub(crate) fn receive(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (sequence, envelope): (u64, &[u8]),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let acknowledge = Effect::Acknowledge(sequence);
    let fingerprint = seen::fingerprint(envelope);
    if seen::is_seen(records, &fingerprint)? {
        return Ok([acknowledge].into());
    }
    if envelope.first() == Some(&chancery_org::LINK_REQUEST_KIND) {
        let is_taken = devices::take_request(me.device, records, envelope, now)?;
        let news = if is_taken { Notice::DeviceRequest } else { Notice::Undecryptable };
        return Ok([acknowledge, Effect::Notify(news)].into());
    }
    if envelope.first().is_some_and(|kind| group::is_kind(*kind)) {
        let (taken, mut effects) = group::receive(me, records, envelope, now, rng)?;
        if taken == group::Taken::Well {
            seen::remember(records, &fingerprint)?;
        }
        effects.insert(0, acknowledge);
        return Ok(effects);
    }
    let opened = match envelope.first() {
        Some(&INITIAL) => open_initial(me, records, envelope, now, rng)?,
        Some(&SESSION) => open_session(me, records, envelope, now, rng)?,
        _ => Err(Unread::Ignored),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(unread) => {
            match unread {
                Unread::Ignored => {}
                Unread::Unlogged { device, member } => {
                    let news = Notice::UnloggedCredential { device, member };
                    return Ok([acknowledge, Effect::Notify(news)].into());
                }
                Unread::OutOfReach(member) => {
                    let news = Notice::OutOfReach { member };
                    return Ok([acknowledge, Effect::Notify(news)].into());
                }
                Unread::Unknown => {
                    return Ok([acknowledge, Effect::Notify(Notice::UnknownSender)].into());
                }
                Unread::Expired { device, member } => {
                    let news = Notice::CredentialExpired { device, member };
                    return Ok([acknowledge, Effect::Notify(news)].into());
                }
                // Neither taken nor lost: the relay keeps it, and brings it again on the next connection (R-ENGINE-57).
                Unread::Doubtful => return Ok([Effect::SyncLog].into()),
                Unread::Of(peer) => heal::damaged(records, &peer, now, rng)?,
                Unread::OfSomebody => heal::suspect(records, now, rng)?,
            }
            return Ok([acknowledge, Effect::Notify(Notice::Undecryptable)].into());
        }
    };
    seen::remember(records, &fingerprint)?;
    let mut effects = Vec::from([acknowledge]);
    effects.extend(take(me, records, opened, now, rng)?);
    Ok(effects)
}

/// What an envelope held.
struct Opened {
    member: MemberId,
    device: DeviceId,
    plaintext: SecretBytes,
    /// `None` if the plaintext breaks the format.
    content: Option<Content>,
}

/// Why an envelope was not read, as far as it matters.
enum Unread {
    /// It is no envelope, it was there before, or whoever sent it is not to be answered.
    Ignored,
    /// This device sent it, or somebody has damaged what it sent.
    Of(DeviceId),
    /// Any device may have sent it.
    OfSomebody,
    /// It shows a credential that the log does not vouch for.
    Unlogged { device: DeviceId, member: MemberId },
    /// The directory lets this member exchange nothing with that one.
    OutOfReach(MemberId),
    /// Whether it is within reach is not known yet.
    Unknown,
    /// The credential of its device has expired.
    Expired { device: DeviceId, member: MemberId },
    /// The credential of its device may have expired; the log will say.
    Doubtful,
}

/// Refuses what may not be taken from a device, by what is known of it (R-ENGINE-56, R-ENGINE-59).
const fn refused(relation: Relation, member: MemberId) -> Option<Unread> {
    match relation {
        Relation::Within => None,
        Relation::Outside => Some(Unread::OutOfReach(member)),
        Relation::Unknown => Some(Unread::Unknown),
    }
}

/// Takes over an authentic content.
fn take(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    opened: Opened,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let Opened { member, device: from, plaintext, content } = opened;
    let mut effects = Vec::new();
    if directory::member(records, &member)?.is_none() {
        effects.push(Effect::Notify(Notice::UnknownSender));
    }
    // The session has moved on, as it must, whatever the content is.
    let Some(content) = content else {
        effects.push(Effect::Notify(Notice::Undecryptable));
        return Ok(effects);
    };
    let (lost, delivered) = answer::hear(me.device, records, (&from, &content), now, rng)?;
    effects.extend(delivered);
    effects.extend(upkeep::tell_lost(records, &from, lost)?);
    effects.extend(log::hear_claim(records, (&from, &content), now, rng)?);
    if let Some(Body::LogNote(note)) = &content.body
        && content.id.is_empty()
    {
        effects.extend(log::take_note(me, records, (&from, note), now, rng)?);
    }
    if let Some(Body::Group(control)) = &content.body
        && content.id.is_empty()
    {
        effects.extend(group::take_control(me, records, (&member, &from), control, (now, rng))?);
    }
    if amend::is_one(&content) {
        effects.extend(match amend::read(content, (&member, &me.member_id()), None) {
            Some(act) => amend::receive(records, &act, now)?,
            None => [Effect::Notify(Notice::Undecryptable)].into(),
        });
        return Ok(effects);
    }
    if content.id.is_empty() && !matches!(content.body, Some(Body::Text(_))) {
        effects.extend(receipts::hear(me.device, records, (&member, &content), now)?);
        return Ok(effects);
    }
    match content::read((content, plaintext.expose()), (&member, &me.member_id()), now) {
        Some(message) => {
            if append_message(records, &message)?.is_some() {
                effects.push(Effect::Notify(Notice::EventStored(append_event(records, &message)?)));
            }
        }
        None => effects.push(Effect::Notify(Notice::Undecryptable)),
    }
    Ok(effects)
}

fn open_session(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    envelope: &[u8],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Result<Opened, Unread>, EngineError> {
    let Ok(parsed) = SessionEnvelope::parse(envelope) else { return Ok(Err(Unread::Ignored)) };
    let known = match peers::session_by_tag(records, &parsed.tag())? {
        Some(session) => Some(session),
        None => heal::search(records, &parsed.tag(), now)?,
    };
    let Some(mut session) = known else { return Ok(Err(Unread::OfSomebody)) };
    let device = session.peer_device();
    let member = peers::peer_member(records, &device)?;
    match peers::standing(records, &device, now)? {
        Standing::Valid => {}
        Standing::Expired => return Ok(Err(Unread::Expired { device, member })),
        Standing::Doubtful => return Ok(Err(Unread::Doubtful)),
    }
    if let Some(unread) = refused(reach::with_member(me.device, records, &member)?, member) {
        return Ok(Err(unread));
    }
    let is_first = !session.has_received();
    let Ok(decrypted) = session.decrypt(envelope, now, rng) else { return Ok(Err(Unread::Of(device))) };
    peers::save_session(records, &session, &decrypted.tags);
    peers::used(records, (&session, is_first), now)?;
    let content = content::parse(decrypted.plaintext.expose());
    Ok(Ok(Opened { member, device, plaintext: decrypted.plaintext, content }))
}

fn open_initial(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    envelope: &[u8],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Result<Opened, Unread>, EngineError> {
    let Ok(parsed) = InitialEnvelope::parse(envelope) else { return Ok(Err(Unread::Ignored)) };
    let secrets = StoredSecrets::new(records);
    let responder = Responder { local: me.local(), organisation: me.believed(), prekeys: &secrets };
    let accepted = respond(&responder, &parsed, log::time(records, now)?, rng);
    secrets.check()?;
    let Ok(accepted) = accepted else { return Ok(Err(Unread::OfSomebody)) };
    let member = accepted.peer.member_id();
    let peer_device = accepted.session.peer_device();
    if !log::counts(records, &accepted.peer)? {
        return Ok(Err(Unread::Unlogged { device: peer_device, member }));
    }
    if let Some(unread) = refused(reach::with_credential(me.device, records, &accepted.peer)?, member) {
        return Ok(Err(unread));
    }
    let issued_at = directory::issued_at(&accepted.peer);
    if !peers::may_be_of(records, &peer_device, &member)?
        || directory::has_dropped(records, (&member, &peer_device), issued_at)?
    {
        return Ok(Err(Unread::Ignored));
    }
    // Without a key that is used up, nothing but this record refuses the same handshake again.
    let replayable = accepted.used.is_empty() || accepted.last_resort;
    let lasting: Vec<_> = parsed.prekeys().filter(|id| !accepted.used.contains(id)).collect();
    if replayable && !prekeys::record_handshake(records, &accepted.handshake, &lasting)? {
        return Ok(Err(Unread::Ignored));
    }
    for id in &accepted.used {
        prekeys::consume(records, *id);
    }
    let content = content::parse(accepted.plaintext.expose());
    let healing = content.as_ref().is_some_and(|content| matches!(content.body, Some(Body::Heal(_))));
    let begun_at = content.as_ref().map_or(0, |content| content.begun_at);
    let origin = Origin { began_here: false, healing, begun_at };
    peers::add_session(records, &accepted.session, (&member, origin), now)?;
    peers::shown(records, &peer_device, issued_at)?;
    peers::holds_until(records, &peer_device, accepted.peer.not_after())?;
    Ok(Ok(Opened { member, device: peer_device, plaintext: accepted.plaintext, content }))
}
