//! A Unix socket that nobody else than intended can connect to, from its first moment on.

use std::future::Future;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chancery::{Error, ErrorCode, json};
use tokio::net::{UnixListener, UnixStream};

use crate::listen::{accept, until};
use crate::service::Service;
use crate::session;
use crate::token::{system, unsafe_at};

/// Who may connect to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketAccess {
    /// Its owner: mode 0600.
    Owner,
    /// Its owner and the group of its folder: mode 0660.
    Group,
}

/// A socket that is listened on; it is removed when this is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Socket {
    /// Listens on a socket at this path.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SocketUnsafe`]: others can write to the folder, and could put a socket of their own there.
    /// [`ErrorCode::ListenFailed`]: somebody listens there already, or the path is too long for a socket. [`ErrorCode::AlreadyExists`]: there
    /// is something else than a socket. [`ErrorCode::FileNotFound`]: there is no such folder.
    pub async fn listen(path: &Path, access: SocketAccess) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(|error| system(&error, path))?;
        let folder = path.parent().ok_or_else(|| Error::with(ErrorCode::Usage, "a socket has a folder"))?;
        let about = std::fs::metadata(folder).map_err(|error| system(&error, folder))?;
        if about.mode() & 0o022 != 0 {
            return Err(unsafe_at(folder, "others can write to this folder"));
        }
        remove_dead(&path).await?;
        let failed = |_| Error::with(ErrorCode::ListenFailed, path.display().to_string());
        // Made where nobody else can look, and put in its place once it has its mode.
        let nursery = Nursery::make(folder)?;
        if nursery.owner != about.uid() && about.uid() != 0 {
            return Err(unsafe_at(folder, "the folder is somebody else's"));
        }
        let made = nursery.path.join("s");
        let listener = UnixListener::bind(&made).map_err(failed)?;
        let mode = match access {
            SocketAccess::Owner => 0o600,
            SocketAccess::Group => 0o660,
        };
        if access == SocketAccess::Group {
            std::os::unix::fs::chown(&made, None, Some(about.gid()))
                .map_err(|error| system(&error, &path))?;
        }
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(mode))
            .and_then(|()| std::fs::rename(&made, &path))
            .map_err(|error| system(&error, &path))?;
        let inode = std::fs::metadata(&path).map_err(|error| system(&error, &path))?.ino();
        Ok(Self { listener, path, inode })
    }

    /// Serves callers until `stop` ends.
    pub async fn serve(&self, service: &Service, stop: impl Future<Output = ()>) {
        let serving = accept(
            async || self.listener.accept().await.map(|(stream, _)| stream),
            |stream: UnixStream| {
                let service = service.clone();
                async move {
                    let (reader, writer) = stream.into_split();
                    session::serve(&service, reader, writer, None).await;
                }
            },
        );
        until(stop, serving).await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Another process may have put its own there.
        if std::fs::metadata(&self.path).is_ok_and(|about| about.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A folder that nobody else can enter, for as long as this lives.
struct Nursery {
    path: PathBuf,
    owner: u32,
}

impl Nursery {
    fn make(folder: &Path) -> Result<Self, Error> {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(|_| ErrorCode::NoRandomness)?;
        let path = folder.join(format!(".{}", json::hex(&bytes)));
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| system(&error, folder))?;
        let mut made = Self { path, owner: 0 };
        made.owner = std::fs::metadata(&made.path).map_err(|error| system(&error, folder))?.uid();
        Ok(made)
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes what a process that was killed has left; what is alive or no socket stays, and is an error.
async fn remove_dead(path: &Path) -> Result<(), Error> {
    let name = || path.display().to_string();
    let about = match std::fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(&error, path)),
    };
    if !about.file_type().is_socket() {
        return Err(Error::with(ErrorCode::AlreadyExists, name()));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| system(&error, path))
        }
        _ => Err(Error::with(ErrorCode::ListenFailed, name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_and_its_folder_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rpc");
        for mode in [0o777, 0o1777, 0o770, 0o702] {
            set(folder.path(), mode);
            let refused = Socket::listen(&path, SocketAccess::Owner).await.unwrap_err();
            assert_eq!(refused.code(), ErrorCode::SocketUnsafe, "{mode:o}");
        }
        set(folder.path(), 0o755);
        for (access, mode) in [(SocketAccess::Owner, 0o600), (SocketAccess::Group, 0o660)] {
            let socket = Socket::listen(&path, access).await.unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, mode);
            let second = Socket::listen(&path, access).await.unwrap_err();
            assert_eq!(second.code(), ErrorCode::ListenFailed, "it is alive");
            drop(socket);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
        }
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rpc");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Socket::listen(&path, SocketAccess::Owner).await.unwrap());
        std::fs::write(&path, "precious").unwrap();
        let refused = Socket::listen(&path, SocketAccess::Owner).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
