//! mls-rs with aws-lc. Commits go in the clear, which is cheaper; the tree goes inside the welcome.

use mls_rs::client_builder::MlsConfig;
use mls_rs::client_builder::PaddingMode;
use mls_rs::identity::SigningIdentity;
use mls_rs::identity::basic::{BasicCredential, BasicIdentityProvider};
use mls_rs::mls_rules::{CommitOptions, DefaultMlsRules, EncryptionOptions};
use mls_rs::{CipherSuite, CipherSuiteProvider, Client, CryptoProvider, Group, MlsMessage};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;

use crate::{MESSAGES, Peer, Times, timed};

struct MlsRs<C: MlsConfig> {
    name: String,
    author: Group<C>,
    receiver: Group<C>,
    joiner: Client<C>,
    welcome: Vec<u8>,
    next: u32,
}

fn client(suite: CipherSuite, name: u32) -> Client<impl MlsConfig + 'static> {
    let crypto = AwsLcCryptoProvider::default();
    let (secret, public) = crypto.cipher_suite_provider(suite).unwrap().signature_key_generate().unwrap();
    let identity = BasicCredential::new(name.to_be_bytes().to_vec());
    let rules = DefaultMlsRules::new()
        .with_commit_options(CommitOptions::new().with_path_required(true))
        .with_encryption_options(EncryptionOptions::new(false, PaddingMode::None));
    Client::builder()
        .identity_provider(BasicIdentityProvider)
        .crypto_provider(crypto)
        .mls_rules(rules)
        .signing_identity(SigningIdentity::new(identity.into_credential(), public), secret, suite)
        .build()
}

fn process<C: MlsConfig>(group: &mut Group<C>, message: &[u8]) {
    group.process_incoming_message(MlsMessage::from_bytes(message).unwrap()).unwrap();
}

/// Adds members in one commit: the commit and the welcome.
fn add<C: MlsConfig>(author: &mut Group<C>, clients: &[Client<C>]) -> [Vec<u8>; 2] {
    let mut builder = author.commit_builder();
    for client in clients {
        let package = client.generate_key_package_message(Default::default(), Default::default(), None);
        builder = builder.add_member(package.unwrap()).unwrap();
    }
    let commit = builder.build().unwrap();
    author.apply_pending_commit().unwrap();
    [commit.commit_message.to_bytes().unwrap(), commit.welcome_messages[0].to_bytes().unwrap()]
}

fn join<C: MlsConfig>(client: &Client<C>, welcome: &[u8]) -> Group<C> {
    client.join_group(None, &MlsMessage::from_bytes(welcome).unwrap(), None).unwrap().0
}

pub fn new(members: u32, quantum_safe: bool, populated: bool) -> Box<dyn Peer> {
    let suite = if quantum_safe { CipherSuite::ML_KEM_768_X25519 } else { CipherSuite::CURVE25519_CHACHA };
    let name = format!(
        "mls-rs {}, {}",
        if quantum_safe { "X25519 + ML-KEM-768" } else { "X25519" },
        if populated { "populated" } else { "fresh" }
    );
    let mut author = client(suite, 0).create_group(Default::default(), Default::default(), None).unwrap();
    let mut others: Vec<_> = (1..members).map(|name| client(suite, name)).collect();
    if !populated {
        let [_, welcome] = add(&mut author, &others);
        let joiner = others.pop().unwrap();
        let receiver = join(&joiner, &welcome);
        return Box::new(MlsRs { name, author, receiver, joiner, welcome, next: 0 });
    }
    // Each adds the next one; who receives later follows all commits from then on, the others are not needed.
    let (mut receiver, mut last) = (None::<Group<_>>, None);
    for (number, other) in (1..members).zip(others) {
        let [commit, welcome] = add(&mut author, std::slice::from_ref(&other));
        if let Some(receiver) = &mut receiver {
            process(receiver, &commit);
        }
        let group = join(&other, &welcome);
        last = Some((other, welcome));
        let before = std::mem::replace(&mut author, group);
        if number == members * 3 / 4 {
            receiver = Some(before);
        }
    }
    let (mut receiver, (joiner, welcome)) = (receiver.unwrap(), last.unwrap());
    let update = author.commit(Vec::new()).unwrap().commit_message.to_bytes().unwrap();
    author.apply_pending_commit().unwrap();
    process(&mut receiver, &update);
    Box::new(MlsRs { name, author, receiver, joiner, welcome, next: 0 })
}

impl<C: MlsConfig> Peer for MlsRs<C> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn round(&mut self, times: &mut Times) {
        let members = u32::try_from(self.author.roster().members().len()).unwrap();
        let leaf = 1 + self.next * 7919 % (members / 2);
        self.next += 1;
        let commit = timed(&mut times.make, || {
            let commit = self.author.commit_builder().remove_member(leaf).unwrap().build().unwrap();
            commit.commit_message.to_bytes().unwrap()
        });
        self.author.clear_pending_commit();
        times.bytes.push(commit.len() as u128);
        let mut receiver = self.receiver.clone();
        timed(&mut times.apply, || process(&mut receiver, &commit));
        timed(&mut times.join, || join(&self.joiner, &self.welcome));
        for _ in 0..MESSAGES {
            let message = timed(&mut times.send, || {
                let message = self.author.encrypt_application_message(&[7; 256], Vec::new()).unwrap();
                message.to_bytes().unwrap()
            });
            times.overhead = message.len() - 256;
            timed(&mut times.receive, || process(&mut self.receiver, &message));
        }
    }
}
