//! Both sides over real sockets on the loopback interface.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use chancery_transport::{ConnectError, Connector as _, Link, LinkError, MAX_FRAME};
use futures_util::{FutureExt as _, SinkExt as _};
use rustls::{NamedGroup, crypto::aws_lc_rs, sign::SingleCertAndKey};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::{
    AcceptError, Acceptor, ServerIdentity, WsConnector, WsLink,
    link::{PATIENCE, QUIET},
    tls,
};

struct Relay {
    listener: TcpListener,
    acceptor: Acceptor,
    address: SocketAddr,
    pin: [u8; 32],
    _directory: tempfile::TempDir,
}

impl Relay {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let identity = ServerIdentity::load_or_create(directory.path()).unwrap();
        let pin = identity.pin();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, acceptor: Acceptor::new(identity), address, pin, _directory: directory }
    }

    fn connector(&self, pin: [u8; 32]) -> WsConnector {
        WsConnector::new(&format!("wss://{}", self.address), pin).unwrap()
    }

    async fn accept(&self) -> Result<WsLink, AcceptError> {
        let (stream, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(stream).await
    }

    async fn links(&self) -> (Box<dyn Link>, WsLink) {
        let connector = self.connector(self.pin);
        let (client, relay) = tokio::join!(connector.connect(), self.accept());
        (client.unwrap(), relay.unwrap())
    }

    /// A client that keeps to TLS and WebSocket, and not to our rules.
    async fn with_stranger(&self) -> (WebSocketStream<TlsStream<TcpStream>>, WsLink) {
        let connect = async {
            let connector = TlsConnector::from(Arc::new(tls::client_config(self.pin).unwrap()));
            let stream = TcpStream::connect(self.address).await.unwrap();
            let stream = connector.connect("relay.example".try_into().unwrap(), stream).await.unwrap();
            client_async("wss://relay.example", stream).await.unwrap().0
        };
        let (stranger, relay) = tokio::join!(connect, self.accept());
        (stranger, relay.unwrap())
    }
}

fn frame(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i / 7).wrapping_add(number) % 251).unwrap()).collect()
}

/// R-TRANSPORT-2, R-TRANSPORT-7: around the fragment's size and up to the limit.
#[tokio::test]
async fn frames_of_every_size_come_back_whole() {
    let relay = Relay::start().await;
    let (mut client, mut server) = relay.links().await;
    let echo = tokio::spawn(async move {
        while let Some(frame) = server.receive().await? {
            server.send(frame).await?;
        }
        Ok::<_, LinkError>(())
    });
    for (number, length) in
        [0, 1, 125, 126, 16_383, 16_384, 16_385, 32_768, 65_536, MAX_FRAME].into_iter().enumerate()
    {
        client.send(frame(number, length)).await.unwrap();
        assert_eq!(client.receive().await.unwrap(), Some(frame(number, length)), "{length} bytes");
    }
    client.close().await;
    assert_eq!(echo.await.unwrap(), Ok(()));
}

/// R-TRANSPORT-3.
#[tokio::test]
async fn the_key_exchange_is_the_hybrid_one() {
    let relay = Relay::start().await;
    let (_client, server) = relay.links().await;
    let group = server.tls(|tls| tls.negotiated_key_exchange_group().map(|group| group.name()));
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
}

/// R-TRANSPORT-4.
#[tokio::test]
async fn a_second_connection_shares_nothing_with_the_first() {
    let relay = Relay::start().await;
    let connector = relay.connector(relay.pin);
    for _ in 0..2 {
        let (client, server) = tokio::join!(connector.connect(), relay.accept());
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        // A ticket, if there were one, would come with the first bytes.
        server.send(vec![1]).await.unwrap();
        assert_eq!(client.receive().await, Ok(Some(vec![1])));
        let (kind, protocol) =
            server.tls(|tls| (tls.handshake_kind(), tls.alpn_protocol().map(<[u8]>::to_vec)));
        assert_eq!(kind, Some(rustls::HandshakeKind::Full));
        assert_eq!(protocol.as_deref(), Some(b"http/1.1".as_slice()));
    }
}

/// R-TRANSPORT-3: no falling back.
#[tokio::test]
async fn a_client_without_the_hybrid_key_exchange_is_refused() {
    let relay = Relay::start().await;
    let classical = rustls::crypto::CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let config = tls::client_config_with(Arc::new(classical), relay.pin).unwrap();
    let connect = async {
        let stream = TcpStream::connect(relay.address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect("relay.example".try_into().unwrap(), stream).await
    };
    let (client, server) = tokio::join!(connect, relay.accept());
    assert!(client.is_err());
    assert_eq!(server.err(), Some(AcceptError::Tls));
}

/// R-TRANSPORT-5.
#[tokio::test]
async fn another_key_is_a_wrong_pin() {
    let relay = Relay::start().await;
    let mut pin = relay.pin;
    pin[31] ^= 1;
    let connector = relay.connector(pin);
    let (client, server) = tokio::join!(connector.connect(), relay.accept());
    assert_eq!(client.err(), Some(ConnectError::WrongPin));
    assert_eq!(server.err(), Some(AcceptError::Tls));
}

/// R-TRANSPORT-5: the certificate is public; to show it proves nothing.
#[tokio::test]
async fn the_right_certificate_without_its_key_is_a_wrong_pin() {
    let (certificate, _) = self_signed();
    let (other, other_key) = self_signed();
    let mut config = tls::server_config(vec![other], other_key.serialize_der().try_into().unwrap()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&other_key.serialize_der().try_into().unwrap()).unwrap();
    let shown = rustls::sign::CertifiedKey::new(vec![certificate.clone()], key);
    config.cert_resolver = Arc::new(SingleCertAndKey::from(shown));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}", listener.local_addr().unwrap());
    let connector = WsConnector::new(&url, tls::pin_of(&certificate).unwrap()).unwrap();
    let thief = async {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await
    };
    let (client, thief) = tokio::join!(connector.connect(), thief);
    assert_eq!(client.err(), Some(ConnectError::WrongPin));
    assert!(thief.is_err());
}

fn self_signed() -> (rustls::pki_types::CertificateDer<'static>, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    (rcgen::CertificateParams::default().self_signed(&key).unwrap().into(), key)
}

/// R-TRANSPORT-6.
#[tokio::test]
async fn what_is_no_relay_is_told_from_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = WsConnector::new(&format!("wss://{}", listener.local_addr().unwrap()), [0; 32]).unwrap();
    let stranger = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        stream
    };
    let (client, _) = tokio::join!(connector.connect(), stranger);
    assert_eq!(client.err(), Some(ConnectError::Protocol));
    drop(listener);
    assert_eq!(connector.connect().await.err(), Some(ConnectError::Unreachable));
}

/// R-TRANSPORT-6: one that restarts in the middle of a handshake is down, and not another program.
#[tokio::test]
async fn a_relay_that_goes_away_in_the_middle_is_nobody() {
    let (certificate, key) = self_signed();
    let config =
        tls::server_config(vec![certificate.clone()], key.serialize_der().try_into().unwrap()).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}", listener.local_addr().unwrap());
    let connector = WsConnector::new(&url, tls::pin_of(&certificate).unwrap()).unwrap();
    let before_tls = async { drop(listener.accept().await.unwrap()) };
    let (client, ()) = tokio::join!(connector.connect(), before_tls);
    assert_eq!(client.err(), Some(ConnectError::Unreachable));
    let after_tls = async {
        let (stream, _) = listener.accept().await.unwrap();
        drop(acceptor.accept(stream).await.unwrap());
    };
    let (client, ()) = tokio::join!(connector.connect(), after_tls);
    assert_eq!(client.err(), Some(ConnectError::Unreachable));
    let politely = async {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.unwrap().shutdown().await.unwrap();
    };
    let (client, ()) = tokio::join!(connector.connect(), politely);
    assert_eq!(client.err(), Some(ConnectError::Unreachable));
}

/// R-TRANSPORT-6.
#[tokio::test]
async fn a_relay_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = WsConnector::new(&format!("wss://{}", listener.local_addr().unwrap()), [0; 32]).unwrap();
    let begun = Instant::now();
    tokio::time::pause();
    let result = timeout(Duration::from_secs(60), connector.connect()).await.unwrap();
    assert_eq!(result.err(), Some(ConnectError::Timeout));
    assert!(begun.elapsed() >= Duration::from_secs(10));
}

/// R-TRANSPORT-2.
#[tokio::test]
async fn a_frame_above_the_limit_is_refused_before_it_is_sent() {
    let relay = Relay::start().await;
    let (mut client, mut server) = relay.links().await;
    assert_eq!(client.send(vec![0; MAX_FRAME + 1]).await, Err(LinkError::TooLarge));
    client.send(b"still good".to_vec()).await.unwrap();
    assert_eq!(server.receive().await.unwrap(), Some(b"still good".to_vec()));
}

/// R-TRANSPORT-2: also from somebody who does not ask.
#[tokio::test]
async fn a_frame_above_the_limit_ends_the_link_of_its_receiver() {
    let relay = Relay::start().await;
    let (mut stranger, mut server) = relay.with_stranger().await;
    let sending = tokio::spawn(async move {
        // It may fail in the middle: the relay has hung up.
        let _ = stranger.send(Message::binary(vec![0; MAX_FRAME + 1])).await;
        stranger
    });
    assert_eq!(server.receive().await, Err(LinkError::TooLarge));
    assert_eq!(server.receive().await, Err(LinkError::TooLarge), "and it stays so");
    assert_eq!(server.send(vec![1]).await, Err(LinkError::TooLarge));
    drop(server);
    sending.await.unwrap();
}

/// R-TRANSPORT-7.
#[tokio::test]
async fn text_is_no_frame() {
    let relay = Relay::start().await;
    let (mut stranger, mut server) = relay.with_stranger().await;
    stranger.send(Message::text("hello")).await.unwrap();
    assert_eq!(server.receive().await, Err(LinkError::Protocol));
}

#[tokio::test]
async fn dropping_a_receive_loses_nothing() {
    let relay = Relay::start().await;
    let (mut client, mut server) = relay.links().await;
    let sending = tokio::spawn(async move {
        for number in 0..40 {
            client.send(frame(number, 100_000)).await.unwrap();
        }
        client
    });
    let (mut number, mut dropped) = (0, 0);
    while number < 40 {
        match server.receive().now_or_never() {
            Some(received) => {
                assert!(received.unwrap() == Some(frame(number, 100_000)), "frame {number}");
                number += 1;
            }
            None => {
                dropped += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    assert!(dropped > 0, "the test dropped no receive");
    sending.await.unwrap();
}

#[tokio::test]
async fn a_dropped_send_never_leaves_half_a_frame() {
    let relay = Relay::start().await;
    let (mut client, mut server) = relay.links().await;
    let mut dropped = 0;
    // Nobody reads: the buffers of the operating system fill up and a send stays behind.
    for number in 0..100 {
        if timeout(Duration::from_millis(20), client.send(frame(number, 500_000))).await.is_err() {
            dropped = number;
            break;
        }
    }
    assert!(dropped > 0, "no send was dropped");
    let reading = tokio::spawn(async move {
        let mut frames = Vec::new();
        while let Some(frame) = server.receive().await.unwrap() {
            frames.push(frame);
        }
        frames
    });
    client.send(b"last".to_vec()).await.unwrap();
    client.close().await;
    let frames = reading.await.unwrap();
    for (number, received) in frames.iter().take(dropped).enumerate() {
        assert!(*received == frame(number, 500_000), "frame {number}");
    }
    assert_eq!(frames.last().unwrap(), b"last");
}

#[tokio::test]
async fn both_directions_at_once_do_not_block_each_other() {
    const FRAMES: usize = 60;
    let relay = Relay::start().await;
    let (client, server) = relay.links().await;
    let mut tasks = Vec::new();
    for link in [client, Box::new(server) as Box<dyn Link>] {
        let (mut sender, mut receiver) = link.split();
        tasks.push(tokio::spawn(async move {
            for number in 0..FRAMES {
                sender.send(frame(number, 200_000)).await.unwrap();
            }
            // Kept until both have everything; dropping it is no goodbye.
            std::future::pending::<()>().await;
        }));
        tasks.push(tokio::spawn(async move {
            for number in 0..FRAMES {
                assert!(receiver.receive().await.unwrap() == Some(frame(number, 200_000)), "frame {number}");
            }
        }));
    }
    for task in [3, 1] {
        timeout(Duration::from_secs(30), tasks.swap_remove(task)).await.unwrap().unwrap();
    }
    for task in tasks {
        task.abort();
    }
}

/// R-TRANSPORT-8.
#[tokio::test]
async fn a_goodbye_is_told_from_a_broken_connection() {
    let relay = Relay::start().await;
    let (mut client, mut server) = relay.links().await;
    server.send(b"before".to_vec()).await.unwrap();
    server.close().await;
    assert_eq!(server.send(b"after".to_vec()).await, Err(LinkError::Closed));
    assert_eq!(server.receive().await, Ok(None));
    assert_eq!(client.receive().await, Ok(Some(b"before".to_vec())));
    assert_eq!(client.receive().await, Ok(None));

    let (client, mut server) = relay.links().await;
    drop(client);
    assert_eq!(server.receive().await, Err(LinkError::Lost));
}

#[tokio::test]
async fn closing_one_half_ends_the_other() {
    let relay = Relay::start().await;
    let (client, _server) = relay.links().await;
    let (mut sender, mut receiver) = client.split();
    let receiving = tokio::spawn(async move { receiver.receive().await });
    tokio::task::yield_now().await;
    sender.close().await;
    let ended = timeout(Duration::from_secs(5), receiving).await.unwrap().unwrap();
    assert_eq!(ended, Ok(None));
}

/// R-TRANSPORT-8.
#[tokio::test]
async fn silence_after_a_ping_is_death_for_both_halves() {
    let relay = Relay::start().await;
    let (mut client, _silent) = relay.links().await;
    let begun = Instant::now();
    tokio::time::pause();
    assert_eq!(client.receive().await, Err(LinkError::TimedOut));
    let waited = begun.elapsed();
    assert!(waited >= QUIET + PATIENCE && waited < QUIET + PATIENCE + Duration::from_secs(2), "{waited:?}");
    assert_eq!(client.send(vec![1]).await, Err(LinkError::TimedOut));
}

/// R-TRANSPORT-8: a ping is answered by whoever has a `receive` pending.
#[tokio::test]
async fn a_quiet_connection_stays_alive() {
    let relay = Relay::start().await;
    let (mut stranger, mut server) = relay.with_stranger().await;
    let receiving = tokio::spawn(async move { server.receive().await });
    stranger.send(Message::Ping(b"there?".as_slice().into())).await.unwrap();
    let answer = futures_util::StreamExt::next(&mut stranger).await.unwrap().unwrap();
    assert_eq!(answer, Message::Pong(b"there?".as_slice().into()));
    stranger.send(Message::binary(b"yes".as_slice())).await.unwrap();
    assert_eq!(receiving.await.unwrap(), Ok(Some(b"yes".to_vec())));
}
