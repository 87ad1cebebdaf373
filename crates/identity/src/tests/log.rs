//! A log made by hand, and what its replay refuses.

use chancery_crypto::label;
use chancery_crypto::secret::Secret;

use super::*;
use crate::checkpoint::{self, Checkpoint};
use crate::log::{Leaf, LeafKind, LogHead, commitment};
use crate::{Authority, Change, LogError, Policy, Submission};

const LATER: Timestamp = Timestamp::from_millis(1_100_000);

/// A root, four issuers with a capability each, and a log that has them.
struct Logged {
    world: World,
    offboard: SigningKey,
    groups: SigningKey,
    authority: Authority,
    head: LogHead,
    entries: Vec<(Leaf, Option<proto::Signed>)>,
    rng: alloc::boxed::Box<dyn CryptoRng>,
}

impl Logged {
    fn new(seed: u8) -> Self {
        let mut rng: alloc::boxed::Box<dyn CryptoRng> = alloc::boxed::Box::new(seeded([seed; 32]));
        let world = World::new(&mut *rng);
        let [offboard, groups] = [(); 2].map(|()| SigningKey::generate(&mut *rng));
        let authority = Authority::new(&world.organisation);
        let mut log =
            Self { world, offboard, groups, authority, head: LogHead::default(), entries: Vec::new(), rng };
        for certificate in log.world.document.issuers.clone() {
            log.append(LeafKind::Issuer, &certificate).unwrap();
        }
        for (key, capability) in
            [(log.offboard.seed(), Capabilities::OFFBOARD), (log.groups.seed(), Capabilities::GROUPS)]
        {
            let key = SigningKey::from_seed(Secret::from_slice(key.expose()).unwrap());
            let body = issuer_body(&log.world.root, &key, capability);
            let certificate = sign::sign_issuer(&log.world.root, &body, &mut *log.rng);
            log.world.document.issuers.push(certificate);
        }
        for at in [2, 3] {
            let certificate = log.world.document.issuers[at].clone();
            log.append(LeafKind::Issuer, &certificate).unwrap();
        }
        log
    }

    /// What an honest log does with a statement.
    fn append(&mut self, kind: LeafKind, statement: &proto::Signed) -> Result<Change, LogError> {
        let Submission { leaf, content } = self.authority.prepare(kind, statement, NOW)?;
        self.show(&leaf, content.as_ref())
    }

    /// What everybody does with an entry.
    fn show(&mut self, leaf: &Leaf, content: Option<&proto::Signed>) -> Result<Change, LogError> {
        let change = self.authority.apply(self.head.size(), leaf, content)?;
        self.head.push(leaf)?;
        self.entries.push((*leaf, content.cloned()));
        Ok(change)
    }

    fn revocation(&mut self, key: &SigningKey, issuer: usize, device: &[u8]) -> proto::Signed {
        let body = proto::RevocationBody {
            org_id: self.world.org_id(),
            issuer_id: self.world.issuer_id(issuer),
            member_id: vec![1; 16],
            device_id: device.to_vec(),
        };
        sign::sign_revocation(key, &body, &mut *self.rng)
    }

    fn policy(&mut self, sequence: u64, policy: &Policy) -> proto::Signed {
        let body = proto::PolicyBody {
            org_id: self.world.org_id(),
            issuer_id: self.world.issuer_id(1),
            sequence,
            policy: Some(policy.to_proto()),
        };
        sign::sign_policy(&self.world.policy, &body, &mut *self.rng)
    }

    fn commitment(&mut self, kind: LeafKind) -> proto::Signed {
        let body = proto::LogCommitmentBody {
            org_id: self.world.org_id(),
            issuer_id: self.world.issuer_id(0),
            kind: kind.number().into(),
            subject: vec![1; 16],
            object: crate::log::directory_object(7).to_vec(),
            commitment: vec![8; 32],
        };
        sign::sign_log_commitment(&self.world.enrol, &body, &mut *self.rng)
    }

    fn group_successor(&mut self, group: u8, sequence: u64, members: &[u8]) -> proto::Signed {
        let body = proto::GroupSuccessorBody {
            org_id: self.world.org_id(),
            issuer_id: self.world.issuer_id(3),
            group_id: vec![group; 16],
            member_ids: members.iter().map(|id| vec![*id; 16]).collect(),
            sequence,
        };
        sign::sign_group_successor(&self.groups, &body, &mut *self.rng)
    }

    fn credential(&mut self) -> proto::Signed {
        let keys = DeviceKeys::generate(&mut *self.rng);
        let body = self.world.credential_body(&keys);
        sign::sign_credential(&self.world.enrol, &body, &mut *self.rng)
    }

    fn end_issuer(&mut self, issuer: usize) -> proto::Signed {
        let body = proto::IssuerRevocationBody {
            org_id: self.world.org_id(),
            issuer_id: self.world.issuer_id(issuer),
        };
        sign::sign_issuer_revocation(&self.world.root, &body, &mut *self.rng)
    }

    fn clone_key(key: &SigningKey) -> SigningKey {
        SigningKey::from_seed(Secret::from_slice(key.seed().expose()).unwrap())
    }
}

#[test]
fn a_log_is_replayed_by_whoever_has_its_entries_r_log_6() {
    let mut log = Logged::new(1);
    let credential = log.credential();
    let signed = log.credential();
    let hash = commitment(LeafKind::Credential, &credential);
    let (device, member) = (DeviceId::new([2; 16]), MemberId::new([1; 16]));
    let issuer = crate::IssuerId::from_bytes(&log.world.issuer_id(0)).unwrap();
    let vouched = log.append(LeafKind::Credential, &credential).unwrap();
    assert_eq!(vouched, Change::Credential { device, member, issuer, hash });
    let verified = log.authority.organisation().verify_credential(Unverified::new(credential), NOW).unwrap();
    assert_eq!(hash, verified.hash(), "R-LOG-3");
    assert_ne!(hash, commitment(LeafKind::Credential, &signed));

    let entry = log.commitment(LeafKind::Directory);
    let committed = log.append(LeafKind::Directory, &entry).unwrap();
    assert_eq!(committed, Change::Directory { member, issuer, version: 7, hash: [8; 32] }, "R-LOG-10");
    let act = log.commitment(LeafKind::Audit);
    assert_eq!(log.append(LeafKind::Audit, &act), Ok(Change::Audit));
    let strict = Policy { may_export: false, ..Policy::default() };
    let policy = log.policy(1, &strict);
    assert_eq!(log.append(LeafKind::Policy, &policy), Ok(Change::Policy));
    assert_eq!(*log.authority.policy(), strict, "R-LOG-8");
    let offboard = Logged::clone_key(&log.offboard);
    let ended = log.revocation(&offboard, 2, &[2; 16]);
    assert_eq!(log.append(LeafKind::DeviceRevoked, &ended), Ok(Change::DeviceRevoked { device, member }));
    let left = log.revocation(&offboard, 2, &[]);
    assert_eq!(log.append(LeafKind::MemberRevoked, &left), Ok(Change::MemberRevoked(member)));
    let desk = log.world.desk_body(&mut seeded([8; 32]));
    let desk = sign::sign_desk(&log.world.enrol, &desk, &mut seeded([7; 32]));
    assert_eq!(log.append(LeafKind::Desk, &desk), Ok(Change::Document));
    let relay = sign::sign_relay_record(&log.world.policy, &log.world.relay_body(), &mut seeded([7; 32]));
    assert_eq!(log.append(LeafKind::Relay, &relay), Ok(Change::Document));
    assert_eq!(log.append(LeafKind::Relay, &relay), Err(LogError::OutOfOrder));

    let mut again = Authority::new(&log.world.organisation);
    let mut head = LogHead::default();
    for (index, (leaf, content)) in (0..).zip(&log.entries) {
        let leaf = Leaf::from_bytes(&leaf.to_bytes()).unwrap();
        again.apply(index, &leaf, content.as_ref()).unwrap();
        head.push(&leaf).unwrap();
    }
    assert_eq!((head.size(), head.root()), (log.head.size(), log.head.root()), "R-LOG-1");
    assert_eq!(again.to_record(), log.authority.to_record());
    let stored = Authority::from_record(again.to_record()).unwrap();
    assert_eq!(stored.to_record(), again.to_record());
    assert_eq!(stored.policy(), again.policy());
    assert_eq!(LogHead::from_bytes(&head.to_bytes()), Some(head));
}

#[test]
fn an_entry_that_no_honest_log_has_changes_nothing_r_log_6() {
    let mut log = Logged::new(2);
    let policy = log.policy(3, &Policy::default());
    let good = log.authority.prepare(LeafKind::Policy, &policy, NOW).unwrap();
    let before = log.authority.to_record();
    let mut refused = |leaf: Leaf, content: Option<&proto::Signed>| {
        let error = log.authority.apply(9, &leaf, content).unwrap_err();
        assert_eq!(log.authority.to_record(), before);
        error
    };
    let leaf = good.leaf;
    assert_eq!(refused(leaf, None), LogError::Malformed);
    assert_eq!(
        refused(Leaf { commitment: [0; 32], ..leaf }, Some(&policy)),
        LogError::NotAuthentic,
        "R-LOG-3"
    );
    assert_eq!(refused(Leaf { subject: [1; 16], ..leaf }, Some(&policy)), LogError::NotAuthentic);
    assert_eq!(refused(Leaf { object: [1; 16], ..leaf }, Some(&policy)), LogError::NotAuthentic);
    assert_eq!(refused(Leaf { issuer: [1; 16], ..leaf }, Some(&policy)), LogError::NotAuthentic);
    let mut forged = policy.clone();
    forged.signature[100] ^= 1;
    let kind = LeafKind::Policy;
    let as_forged = Leaf { commitment: commitment(kind, &forged), ..leaf };
    assert_eq!(refused(as_forged, Some(&forged)), LogError::NotAuthentic);
    for kind in [LeafKind::Credential, LeafKind::Directory, LeafKind::Audit] {
        assert_eq!(refused(Leaf { kind, issuer: [9; 16], ..leaf }, None), LogError::NotPermitted);
    }
    log.show(&leaf, Some(&policy)).unwrap();
    let earlier = Leaf { time: Timestamp::from_millis(NOW.as_millis() - 1), ..leaf };
    assert_eq!(log.head.push(&earlier), Err(LogError::OutOfOrder), "R-LOG-2");
    assert_eq!(log.append(kind, &policy), Err(LogError::OutOfOrder));
    let older = log.policy(2, &Policy::default());
    assert_eq!(log.append(kind, &older), Err(LogError::OutOfOrder));
}

#[test]
fn each_kind_of_statement_takes_its_capability_r_log_4() {
    let mut log = Logged::new(3);
    let (enrol, offboard) = (Logged::clone_key(&log.world.enrol), Logged::clone_key(&log.offboard));
    let groups = Logged::clone_key(&log.groups);
    let by_desk = log.revocation(&enrol, 0, &[]);
    assert_eq!(log.append(LeafKind::MemberRevoked, &by_desk), Err(LogError::NotPermitted));
    let by_desk = log.revocation(&enrol, 0, &[2; 16]);
    assert!(log.append(LeafKind::DeviceRevoked, &by_desk).is_ok(), "the desk ends single devices");
    let by_groups = log.revocation(&groups, 3, &[2; 16]);
    assert_eq!(log.append(LeafKind::DeviceRevoked, &by_groups), Err(LogError::NotPermitted));
    let whole = log.revocation(&offboard, 2, &[]);
    assert_eq!(log.append(LeafKind::DeviceRevoked, &whole), Err(LogError::Malformed));
    let single = log.revocation(&offboard, 2, &[2; 16]);
    assert_eq!(log.append(LeafKind::MemberRevoked, &single), Err(LogError::Malformed));
    let claimed = log.revocation(&offboard, 0, &[2; 16]);
    assert_eq!(log.append(LeafKind::DeviceRevoked, &claimed), Err(LogError::NotAuthentic));
    let directory = log.commitment(LeafKind::Directory);
    assert_eq!(log.append(LeafKind::Audit, &directory), Err(LogError::NotPermitted));
    let mut body = proto::PolicyBody {
        org_id: log.world.org_id(),
        issuer_id: log.world.issuer_id(0),
        sequence: 1,
        policy: Some(Policy::default().to_proto()),
    };
    let by_enrol = sign::sign_policy(&enrol, &body, &mut seeded([1; 32]));
    assert_eq!(log.append(LeafKind::Policy, &by_enrol), Err(LogError::NotPermitted));
    body.org_id = vec![0; 32];
    let foreign = sign::sign_policy(&enrol, &body, &mut seeded([1; 32]));
    let wrong = LogError::Statement(IdentityError::WrongOrganisation);
    assert_eq!(log.append(LeafKind::Policy, &foreign), Err(wrong));
}

#[test]
fn what_an_issuer_signed_before_its_end_stands_and_nothing_after_r_log_9() {
    let mut log = Logged::new(4);
    let (earlier, later) = (log.credential(), log.credential());
    assert!(log.append(LeafKind::Credential, &earlier).is_ok());
    let leaf = log.authority.prepare(LeafKind::Credential, &later, NOW).unwrap().leaf;
    let end = log.end_issuer(0);
    assert!(matches!(log.append(LeafKind::IssuerRevoked, &end), Ok(Change::IssuerRevoked(_))));
    assert_eq!(log.append(LeafKind::IssuerRevoked, &end), Err(LogError::Duplicate));
    assert_eq!(log.append(LeafKind::Credential, &later), Err(LogError::NotPermitted));
    assert_eq!(log.show(&leaf, None), Err(LogError::NotPermitted), "nor if a log shows it");
    let organisation = log.authority.organisation();
    assert!(organisation.verify_credential(Unverified::new(earlier), NOW).is_ok());
    let id = crate::IssuerId::from_bytes(&log.world.issuer_id(0)).unwrap();
    assert!(!log.authority.is_active(&id));

    // The root puts another in its place.
    let next = SigningKey::generate(&mut *log.rng);
    let body = issuer_body(&log.world.root, &next, Capabilities::ENROL);
    let certificate = sign::sign_issuer(&log.world.root, &body, &mut *log.rng);
    assert_eq!(log.append(LeafKind::Issuer, &certificate), Ok(Change::Document));
    let keys = DeviceKeys::generate(&mut *log.rng);
    let issuer_id = Issuer::id_of(&certificate).as_bytes().to_vec();
    let body = proto::CredentialBody { issuer_id, ..log.world.credential_body(&keys) };
    let credential = sign::sign_credential(&next, &body, &mut *log.rng);
    assert!(log.append(LeafKind::Credential, &credential).is_ok());
}

#[test]
fn a_root_is_replaced_by_the_successor_that_it_signed_and_signs_nothing_after_r_id_16() {
    let mut log = Logged::new(5);
    let [next, other] = [(); 2].map(|()| SigningKey::generate(&mut *log.rng));
    let org = log.world.organisation.id();
    let end = log.end_issuer(1);
    let unaccepted = {
        let signed = sign::sign_root_successor(&log.world.root, &next, &org, &mut *log.rng);
        let mut body: proto::RootSuccessorBody =
            chancery_wire::decode(&signed.body, chancery_wire::Limit::STATEMENT).unwrap().into_unchecked();
        body.root_key = other.verifying_key().as_bytes().to_vec();
        let body = encode(&body);
        let signature = log.world.root.sign(label::SIGN_ROOT_SUCCESSOR, &body, &mut *log.rng);
        proto::Signed { body, signature }
    };
    assert_eq!(log.append(LeafKind::Root, &unaccepted), Err(LogError::NotAuthentic));
    let successor = sign::sign_root_successor(&log.world.root, &next, &org, &mut *log.rng);
    assert_eq!(log.append(LeafKind::Root, &successor), Ok(Change::Document));
    assert_eq!(log.authority.organisation().root_key(), next.verifying_key());
    assert_eq!(log.authority.organisation().id(), org, "the identifier stays");
    assert_eq!(log.append(LeafKind::Root, &successor), Err(LogError::NotAuthentic));
    assert_eq!(log.append(LeafKind::IssuerRevoked, &end), Err(LogError::NotAuthentic));
    let key = SigningKey::generate(&mut *log.rng);
    let body = issuer_body(&log.world.root, &key, Capabilities::ENROL);
    let by_old = sign::sign_issuer(&log.world.root, &body, &mut *log.rng);
    assert_eq!(log.append(LeafKind::Issuer, &by_old), Err(LogError::NotAuthentic));
    let by_new = sign::sign_issuer(&next, &body, &mut *log.rng);
    assert_eq!(log.append(LeafKind::Issuer, &by_new), Ok(Change::Document));
    let document = log.authority.organisation().as_proto().clone();
    let read = Organisation::verify(Unverified::new(document.clone()), Some(org)).unwrap();
    assert_eq!((read.root_key(), read.issuers().len()), (next.verifying_key(), 5));
    let without = proto::Organisation { successors: Vec::new(), ..document };
    assert_eq!(verify(&without).unwrap_err(), IdentityError::NotAuthentic);
}

#[test]
fn who_takes_a_group_over_is_said_for_one_or_for_all_r_log_4() {
    let mut log = Logged::new(6);
    let (all, one) = (log.group_successor(0, 1, &[7]), log.group_successor(5, 1, &[8, 9]));
    for statement in [&all, &one] {
        assert!(matches!(log.append(LeafKind::GroupSuccessor, statement), Ok(Change::GroupSuccessor(_))));
    }
    assert_eq!(log.authority.group_successors(&[5; 16]), [8, 9].map(|id| MemberId::new([id; 16])));
    assert_eq!(log.authority.group_successors(&[6; 16]), [MemberId::new([7; 16])]);
    assert_eq!(log.append(LeafKind::GroupSuccessor, &one), Err(LogError::OutOfOrder));
    let many = log.group_successor(5, 2, &[1; 17]);
    assert_eq!(log.append(LeafKind::GroupSuccessor, &many), Err(LogError::Malformed));
    let stored = Authority::from_record(log.authority.to_record()).unwrap();
    assert_eq!(stored.group_successors(&[5; 16]), log.authority.group_successors(&[5; 16]));
}

#[test]
fn a_checkpoint_is_a_signed_note_and_nothing_else_is_r_log_5() {
    let mut rng = seeded([7; 32]);
    let (key, org) = (SigningKey::generate(&mut rng), OrgId::new([0xAB; 32]));
    let made = Checkpoint::sign(&key, &org, (12, [3; 32]), LATER, &mut rng);
    let note = made.note();
    let name = checkpoint::origin(&org);
    assert!(note.starts_with(&alloc::format!(
        "{name}\n12\nAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\ntime 1100000\n\n\u{2014} {name} "
    )));
    let verify = |note: &str| Checkpoint::verify(note, &org, key.verifying_key());
    assert_eq!(verify(note).as_ref(), Ok(&made));
    let cosigned = alloc::format!("{note}\u{2014} witness.example AAAAAAAA\n");
    assert_eq!(verify(&cosigned).map(|it| (it.size(), *it.root())), Ok((12, [3; 32])));

    let other = SigningKey::generate(&mut rng);
    let foreign = Checkpoint::verify(note, &org, other.verifying_key());
    assert_eq!(foreign, Err(LogError::NotAuthentic));
    let elsewhere = Checkpoint::verify(note, &OrgId::new([1; 32]), key.verifying_key());
    assert_eq!(elsewhere, Err(LogError::Malformed));
    for (from, to) in [("\n12\n", "\n13\n"), ("time 1100000", "time 1100001"), ("AwMD", "BwMD")] {
        assert_eq!(verify(&note.replacen(from, to, 1)), Err(LogError::NotAuthentic), "{from}");
    }
    for (from, to) in [("\n12\n", "\n012\n"), ("\n12\n", "\n+12\n"), ("time ", "Time "), ("\n\n", "\n")] {
        assert_eq!(verify(&note.replacen(from, to, 1)), Err(LogError::Malformed), "{from:?}");
    }
    assert!(verify(note.trim_end()).is_err());
    for line in ["no signature", "\u{2014} w AAAA", "\u{2014} w AAAAAAB", "\u{2014}  AAAAAAAA", ""] {
        assert_eq!(verify(&alloc::format!("{note}{line}\n")), Err(LogError::Malformed), "{line:?}");
    }
    let many = alloc::format!("{note}{}", "\u{2014} w AAAAAAAA\n".repeat(17));
    assert_eq!(verify(&many), Err(LogError::Malformed));
    let long = alloc::format!("{note}{}", "\u{2014} w AAAAAAAA\n".repeat(2_000));
    assert_eq!(verify(&long), Err(LogError::Malformed));
}

#[test]
fn two_checkpoints_prove_a_fork_and_an_honest_pair_does_not_r_log_11() {
    let mut rng = seeded([9; 32]);
    let (key, org) = (SigningKey::generate(&mut rng), OrgId::new([1; 32]));
    let leaves: Vec<_> = (0..40_u8).map(|it| chancery_crypto::merkle::leaf_hash(&[it])).collect();
    let mut others = leaves.clone();
    others[4] = [0; 32];
    let root = |leaves: &[_]| chancery_crypto::merkle::root(leaves);
    let mut sign = |leaves: &[[u8; 32]], time| {
        let state = (leaves.len() as u64, root(leaves));
        Checkpoint::sign(&key, &org, state, Timestamp::from_millis(time), &mut rng)
    };
    let (ten, forty) = (sign(&leaves[..10], 1), sign(&leaves, 2));
    let (forked_ten, forked_forty) = (sign(&others[..10], 1), sign(&others, 2));
    let verify = |proof: &proto::ForkProof| checkpoint::verify_fork(proof, &org, key.verifying_key());
    assert_eq!(checkpoint::prove_fork(&ten, &forty, &leaves), None);
    for (a, b) in [(&forked_ten, &forty), (&forked_forty, &forty), (&forty, &forked_ten)] {
        let proof = checkpoint::prove_fork(a, b, &leaves).unwrap();
        assert_eq!(verify(&proof), Ok(()));
        for wrong in [
            proto::ForkProof { root: vec![7; 32], ..proof.clone() },
            proto::ForkProof { smaller: ten.note().into(), ..proof.clone() },
            proto::ForkProof { larger: String::new(), ..proof.clone() },
            proto::ForkProof { proof: vec![vec![0; 32]; 129], ..proof.clone() },
        ] {
            assert!(verify(&wrong).is_err());
        }
    }
    let shrunk = sign(&leaves[..10], 3);
    let proof = checkpoint::prove_fork(&forty, &shrunk, &[]).unwrap();
    assert_eq!(verify(&proof), Ok(()), "a log that shrinks is none");
    let honest = proto::ForkProof {
        smaller: ten.note().into(),
        larger: forty.note().into(),
        root: ten.root().to_vec(),
        proof: chancery_crypto::merkle::consistency_proof(&leaves, 10)
            .unwrap()
            .into_iter()
            .map(|hash| hash.to_vec())
            .collect(),
    };
    assert_eq!(verify(&honest), Err(LogError::NotAuthentic));
}
