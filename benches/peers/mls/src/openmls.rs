//! OpenMLS with libcrux. Commits go in the clear, which is cheaper; the tree goes beside the welcome.

use openmls::prelude::tls_codec::{Deserialize as _, Serialize as _};
use openmls::prelude::*;
use openmls::treesync::LeafNodeParameters;
use openmls_basic_credential::SignatureKeyPair;
use openmls_libcrux_crypto::Provider;

use crate::{MESSAGES, Peer, Times, timed};

struct Member {
    provider: Provider,
    signer: SignatureKeyPair,
    group: MlsGroup,
}

pub struct OpenMls {
    name: String,
    author: Member,
    receiver: Member,
    /// Who joined last: its store before, and what it was sent.
    joiner: Provider,
    welcome: Vec<u8>,
    tree: Vec<u8>,
    next: u32,
}

/// Somebody who is not in the group yet.
struct Outsider {
    provider: Provider,
    signer: SignatureKeyPair,
    package: KeyPackage,
}

fn suite(quantum_safe: bool) -> Ciphersuite {
    if quantum_safe {
        Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519
    } else {
        Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519
    }
}

fn config(suite: Ciphersuite) -> MlsGroupCreateConfig {
    MlsGroupCreateConfig::builder()
        .wire_format_policy(MIXED_PLAINTEXT_WIRE_FORMAT_POLICY)
        .ciphersuite(suite)
        .capabilities(Capabilities::new(None, Some(&[suite]), None, None, None))
        .build()
}

fn credential(signer: &SignatureKeyPair, name: u32) -> CredentialWithKey {
    let credential = BasicCredential::new(name.to_be_bytes().to_vec());
    CredentialWithKey { credential: credential.into(), signature_key: signer.to_public_vec().into() }
}

fn outsider(suite: Ciphersuite, name: u32) -> Outsider {
    let provider = Provider::new().unwrap();
    let signer = SignatureKeyPair::new(suite.signature_algorithm()).unwrap();
    let bundle = KeyPackage::builder()
        .leaf_node_capabilities(Capabilities::new(None, Some(&[suite]), None, None, None))
        .build(suite, &provider, &signer, credential(&signer, name))
        .unwrap();
    Outsider { provider, signer, package: bundle.key_package().clone() }
}

fn found(suite: Ciphersuite) -> Member {
    let provider = Provider::new().unwrap();
    let signer = SignatureKeyPair::new(suite.signature_algorithm()).unwrap();
    let group = MlsGroup::new(&provider, &signer, &config(suite), credential(&signer, 0)).unwrap();
    Member { provider, signer, group }
}

fn copy(provider: &Provider) -> Provider {
    let copy = Provider::new().unwrap();
    copy.storage().values.write().unwrap().clone_from(&provider.storage().values.read().unwrap());
    copy
}

fn join(suite: Ciphersuite, provider: &Provider, welcome: &[u8], tree: &[u8]) -> MlsGroup {
    let welcome = MlsMessageIn::tls_deserialize_exact(welcome).unwrap();
    let MlsMessageBodyIn::Welcome(welcome) = welcome.extract() else { panic!("it is a welcome") };
    let tree = RatchetTreeIn::tls_deserialize_exact(tree).unwrap();
    StagedWelcome::new_from_welcome(provider, config(suite).join_config(), welcome, Some(tree))
        .unwrap()
        .into_group(provider)
        .unwrap()
}

fn process(group: &mut MlsGroup, provider: &Provider, commit: &[u8]) {
    let message = MlsMessageIn::tls_deserialize_exact(commit).unwrap();
    let processed = group.process_message(provider, message.try_into_protocol_message().unwrap()).unwrap();
    let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else {
        panic!("it is a commit")
    };
    group.merge_staged_commit(provider, *staged).unwrap();
}

/// Adds members in one commit: the commit, the welcome and the tree.
fn add(author: &mut Member, packages: &[KeyPackage]) -> [Vec<u8>; 3] {
    let (commit, welcome, _) = author.group.add_members(&author.provider, &author.signer, packages).unwrap();
    author.group.merge_pending_commit(&author.provider).unwrap();
    let tree = author.group.export_ratchet_tree().tls_serialize_detached().unwrap();
    [commit.to_bytes().unwrap(), welcome.to_bytes().unwrap(), tree]
}

impl OpenMls {
    pub fn new(members: u32, quantum_safe: bool, populated: bool) -> Self {
        let suite = suite(quantum_safe);
        let name = format!(
            "openmls {}, {}",
            if quantum_safe { "X-Wing" } else { "X25519" },
            if populated { "populated" } else { "fresh" }
        );
        let mut author = found(suite);
        if !populated {
            let mut others: Vec<_> = (1..members).map(|name| outsider(suite, name)).collect();
            let packages: Vec<_> = others.iter().map(|other| other.package.clone()).collect();
            let [_, welcome, tree] = add(&mut author, &packages);
            let Outsider { provider, signer, .. } = others.pop().unwrap();
            let joiner = copy(&provider);
            let group = join(suite, &provider, &welcome, &tree);
            return Self {
                name,
                author,
                receiver: Member { provider, signer, group },
                joiner,
                welcome,
                tree,
                next: 0,
            };
        }
        // Each adds the next one; who receives later follows all commits from then on, the others are not needed.
        let (mut receiver, mut last) = (None::<Member>, None);
        for name in 1..members {
            let Outsider { provider, signer, package } = outsider(suite, name);
            let [commit, welcome, tree] = add(&mut author, &[package]);
            if let Some(receiver) = &mut receiver {
                process(&mut receiver.group, &receiver.provider, &commit);
            }
            let joiner = copy(&provider);
            let group = join(suite, &provider, &welcome, &tree);
            last = Some((joiner, welcome, tree));
            let before = std::mem::replace(&mut author, Member { provider, signer, group });
            if name == members * 3 / 4 {
                receiver = Some(before);
            }
        }
        let mut receiver = receiver.unwrap();
        let (joiner, welcome, tree) = last.unwrap();
        let Member { provider, signer, group } = &mut author;
        let update = group.self_update(provider, signer, LeafNodeParameters::default()).unwrap();
        let update = update.into_commit().to_bytes().unwrap();
        group.merge_pending_commit(provider).unwrap();
        process(&mut receiver.group, &receiver.provider, &update);
        Self { name, author, receiver, joiner, welcome, tree, next: 0 }
    }
}

impl Peer for OpenMls {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn round(&mut self, times: &mut Times) {
        let Member { provider, signer, group } = &mut self.author;
        let members = u32::try_from(group.members().count()).unwrap();
        let leaf = LeafNodeIndex::new(1 + self.next * 7919 % (members / 2));
        self.next += 1;
        let commit = timed(&mut times.make, || {
            group.remove_members(provider, signer, &[leaf]).unwrap().0.to_bytes().unwrap()
        });
        group.clear_pending_commit(provider.storage()).unwrap();
        times.bytes.push(commit.len() as u128);
        let receiver = copy(&self.receiver.provider);
        let mut received = MlsGroup::load(receiver.storage(), group.group_id()).unwrap().unwrap();
        timed(&mut times.apply, || process(&mut received, &receiver, &commit));
        let joiner = copy(&self.joiner);
        let suite = group.ciphersuite();
        timed(&mut times.join, || join(suite, &joiner, &self.welcome, &self.tree));
        for _ in 0..MESSAGES {
            let message = timed(&mut times.send, || {
                group.create_message(provider, signer, &[7; 256]).unwrap().to_bytes().unwrap()
            });
            times.overhead = message.len() - 256;
            let Member { provider, group, .. } = &mut self.receiver;
            timed(&mut times.receive, || {
                let message = MlsMessageIn::tls_deserialize_exact(&message).unwrap();
                group.process_message(provider, message.try_into_protocol_message().unwrap()).unwrap()
            });
        }
    }
}
